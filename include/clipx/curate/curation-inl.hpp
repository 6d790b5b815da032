// Definitions of curation.hpp.
#pragma once
#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "../core/error.hpp"
#include "../core/hash.hpp"
#include "captions_source-inl.hpp"
#include "curation.hpp"
#include "decisions-inl.hpp"
#include "records-inl.hpp"
#include "stage-inl.hpp"

namespace clipx {

struct curation::state {
  curation_config config;
  observer& watch;
  std::vector<caption_part> shards;
  std::string options;        // of all steps so far
  std::optional<stage> last;  // whose results are decisions
  std::size_t number = 0;     // of folders in the state folder
  bool whole = true;
  std::vector<step_total> steps;
  left_out beside;  // what folders hold beside shards, and leave_out()

  state(curation_config c, observer& w) : config(std::move(c)), watch(w) {}

  /// The stage of a step, in its own folder.
  stage make_stage(const std::string& step, const std::string& own_options, std::vector<stage_item> items) {
    const std::string digits = std::to_string(number++);
    return stage(std::move(items), {cat(config.state, "/", std::string(digits.size() < 2 ? 1 : 0, '0'), digits, "-", step),
                                    cat(options, step, "\n", own_options, "\n"), config.threads, config.part, config.parts});
  }
  /// Returns whether all of it is done, by this process and the others.
  bool run_stage(stage& work, const std::string& step, function_ref<void(std::size_t, file_writer)> f) {
    work.run(f, watch, step);
    whole = work.missing() == 0;
    return whole;
  }
  std::vector<stage_item> shard_items() const {
    std::vector<stage_item> out;
    for (const auto& s : shards) out.push_back({s.facts});
    return out;
  }
};

namespace detail {

inline std::string decisions_file(const std::vector<decision>& all, caption_report read) {
  shard_summary summary;
  summary.read = std::move(read);
  std::string lines;
  for (const auto& d : all) {
    summary.count(d);
    append_line(lines, d);
  }
  append_line(lines, summary);
  return lines;
}

/// Checks the folder of the results: no shard of the data may be overwritten, and shards in it must be from an earlier run, which
/// left a state or sizes.json.
CLIPX_INLINE void check_folder(const curation_config& c, std::span<const caption_part> shards) {
  namespace fs = std::filesystem;
  std::error_code none;
  const auto folder = fs::weakly_canonical(c.out, none);
  for (const auto& part : shards)
    expect(fs::weakly_canonical(part.path, none).parent_path() != folder,
           [&] { return cat(c.out, ": expected another folder for the results than that of the data, ", part.path); });
  if (fs::exists(c.state, none) || fs::exists(c.out + "/sizes.json", none)) return;
  std::error_code problem;
  for (fs::directory_iterator at(c.out, problem), end; !problem && at != end; at.increment(problem))
    expect(at->path().extension() != ".tar", [&] {
      return cat(c.out, ": expected a folder of its own for the results, got one that has ", at->path().filename().string());
    });
}

/// The first decision about a sample.
inline decision first_decision(const captioned_sample& s) {
  decision d;
  d.key = std::string(s.key);
  if (!s.members->image()) {
    d.step = "read";
    d.why = {"no image", "expected a jpg, png, jpeg or webp", dropped_as::missing};
    return d;
  }
  const auto json_text = s.members->find("json");
  if (!json_text) return d;
  try {
    const auto value = parse_json(chars_of(*json_text), "its .json", 64);
    if (value.is_object()) return d;
    d.why = {"JSON", "its .json: expected an object", dropped_as::unreadable};
  } catch (const error& e) { d.why = {"JSON", e.what(), dropped_as::unreadable}; }
  d.step = "read";
  return d;
}

/// Adds the samples that a step has dropped for want of something, or because they cannot be read.
inline void leave_out_dropped(const std::vector<decision>& all, const std::string& path, left_out& skipped) {
  for (const auto& d : all) {
    if (d.why.as == dropped_as::judged) continue;
    const bool named = d.why.detail.starts_with(d.key + ": ");
    skipped.add_problem(cat(path, ": ", named ? "" : d.key + ": ", d.why.detail), d.why.as == dropped_as::unreadable);
  }
}

}  // namespace detail

CLIPX_INLINE curation::curation(curation_config config, observer& watch)
    : state_(std::make_unique<state>(std::move(config), watch)) {
  auto& s = *state_;
  s.shards = list_caption_parts(s.config.data, s.beside);
  if (s.config.strict) s.beside.expect_none();
  for (const auto& part : s.shards)
    expect(!part.lines, [&] { return cat(part.path, ": expected a shard (.tar) or a folder of shards"); });
  expect(!s.config.out.empty(), "curation: expected a folder for the results, got none");
  if (s.config.state.empty()) s.config.state = s.config.out + "/state";
  detail::check_folder(s.config, s.shards);
  stage work = s.make_stage("read", cat("2 ", s.config.caption_field), s.shard_items());
  const auto read = [&](std::size_t i, file_writer put) {
    std::vector<decision> all;
    caption_report report;
    for_each_captioned(s.shards[i], s.config.caption_field, report,
                       [&](const captioned_sample& one) { all.push_back(detail::first_decision(one)); });
    detail::leave_out_dropped(all, s.shards[i].path, report.skipped);
    if (s.config.strict) report.skipped.expect_none();
    detail::put_record(put, detail::decisions_file(all, std::move(report)));
  };
  if (!s.run_stage(work, "read", read)) return;
  s.options = cat("read 2 ", s.config.caption_field, "\n");
  s.last.emplace(std::move(work));
  s.steps.push_back({"read", total()});
  if (s.config.strict) s.steps.back().after.read.skipped.expect_none();
}
CLIPX_INLINE curation::~curation() = default;
CLIPX_INLINE curation::curation(curation&&) noexcept = default;
CLIPX_INLINE curation& curation::operator=(curation&&) noexcept = default;

CLIPX_INLINE bool curation::whole() const { return state_->whole; }
CLIPX_INLINE const curation_config& curation::config() const { return state_->config; }
CLIPX_INLINE std::span<const caption_part> curation::shards() const { return state_->shards; }
CLIPX_INLINE const std::vector<curation::step_total>& curation::steps() const { return state_->steps; }

CLIPX_INLINE std::string curation::hash_of_all() const {
  std::string all;
  for (const auto& part : state_->shards) all += part.facts + "\n";
  return detail::fingerprint("all", all);
}

CLIPX_INLINE void curation::run(const std::string& step, const std::string& options,
                                function_ref<void(std::size_t, std::vector<decision>&)> decide) {
  auto& s = *state_;
  if (!s.whole) return;
  stage work = s.make_stage(step, options, s.shard_items());
  const auto one = [&](std::size_t i, file_writer put) {
    std::vector<decision> all;
    decide(i, all);
    auto read = summary(i).read;
    detail::leave_out_dropped(all, s.shards[i].path, read.skipped);
    if (s.config.strict) read.skipped.expect_none();
    detail::put_record(put, detail::decisions_file(all, std::move(read)));
  };
  if (!s.run_stage(work, step, one)) return;
  s.options += cat(step, "\n", options, "\n");
  s.last.emplace(std::move(work));
  s.steps.push_back({step, total()});
  if (s.config.strict) s.steps.back().after.read.skipped.expect_none();
}

CLIPX_INLINE void curation::leave_out(const left_out& more) {
  state_->beside.add(more);
  if (state_->config.strict) more.expect_none();
}

CLIPX_INLINE std::unique_ptr<stage> curation::prepare(const std::string& what, const std::string& options,
                                                      function_ref<void(std::size_t, file_writer)> work) {
  return prepare(what, options, state_->shard_items(), work);
}

CLIPX_INLINE std::unique_ptr<stage> curation::prepare(const std::string& what, const std::string& options,
                                                      std::vector<stage_item> items,
                                                      function_ref<void(std::size_t, file_writer)> work) {
  if (!state_->whole) return nullptr;
  auto out = std::make_unique<stage>(state_->make_stage(what, options, std::move(items)));
  return state_->run_stage(*out, what, work) ? std::move(out) : nullptr;
}

CLIPX_INLINE void curation::walk(std::size_t shard, function_ref<void(decision&&)> f) const {
  const auto file = state_->last->result(shard);
  for_each_decision(file.bytes(), file.path(), f);
}

CLIPX_INLINE void curation::walk(std::size_t shard, function_ref<void(const captioned_sample&, decision&&)> f) const {
  std::vector<decision> before;
  walk(shard, [&](decision&& d) { before.push_back(std::move(d)); });
  const auto& part = state_->shards[shard];
  caption_report again;  // these were counted when the shard was first read
  std::size_t at = 0;
  for_each_captioned(part, state_->config.caption_field, again, [&](const captioned_sample& s) {
    // In the file, the invalid bytes of a key that is not UTF-8 are replaced by U+FFFD.
    expect(at < before.size() && (before[at].key == s.key || !detail::valid_utf8(s.key)), error_kind::mismatch,
           [&] { return cat(part.path, ": sample ", at, ", \"", s.key, "\": the shard has changed since curation began"); });
    before[at].key = s.key;
    f(s, std::move(before[at++]));
  });
  expect(at == before.size(), error_kind::mismatch,
         [&] { return cat(part.path, ": expected ", before.size(), " samples, as when curation began, got ", at); });
}

CLIPX_INLINE shard_summary curation::summary(std::size_t shard) const {
  const auto file = state_->last->result(shard);
  return read_summary(file.bytes(), file.path());
}

CLIPX_INLINE shard_summary curation::total() const {
  shard_summary out;
  for (std::size_t i = 0; i < state_->shards.size(); ++i) out.add(summary(i));
  out.read.skipped.add(state_->beside);
  return out;
}

}  // namespace clipx
