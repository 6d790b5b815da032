#pragma once
#include <algorithm>
#include <bit>
#include <filesystem>
#include <optional>

#include "../data/shard_writer.hpp"
#include "balance.hpp"
#include "match-inl.hpp"

namespace clipx {

CLIPX_INLINE balancer::balancer(const entry_counts& counts, std::uint64_t t, std::uint64_t seed) : seed_(seed) {
  expect(t > 0, "balance: expected a threshold t of at least 1, got 0");
  hashes_.reserve(counts.entries.size());
  probabilities_.reserve(counts.entries.size());
  for (auto& e : counts.entries) hashes_.push_back(detail::hash_of(e));
  for (const auto c : counts.counts) probabilities_.push_back(entry_probability(c, t));
}

CLIPX_INLINE balancer::decision balancer::operator()(std::string_view key, std::span<const std::uint32_t> ids) const {
  decision out;
  double left_out = 1;
  const auto hash = detail::hash_of(key);
  for (const auto id : ids) {
    const double p = probabilities_[id];
    left_out *= 1 - p;
    out.kept = out.kept || draws(seed_, hash, hashes_[id]).chance(0, p);
  }
  out.p = 1 - left_out;
  return out;
}

namespace detail {

/// Processes one part.
class balanced_part {
 public:
  balanced_part(const query_matcher& queries, const balancer& decide, const std::vector<std::string>& quoted, std::string shard)
      : queries_(queries),
        decide_(decide),
        quoted_(quoted),
        shard_(std::move(shard)),
        before_(queries.entries().size()),
        after_(queries.entries().size()) {}

  void operator()(const caption_part& part, const curate_data& data, file_writer put) {
    std::error_code none;
    if (!part.lines) std::filesystem::remove(shard_, none);  // from other options
    for_each_captioned(part, data.caption_field, report_, [&](const captioned_sample& s) { add(part, s); });
    if (data.strict) report_.skipped.expect_none();
    if (tar_) tar_->commit();
    std::string record;
    record_writer to(record);
    to.report(report_);
    to.number(matched_);
    to.number(kept_);
    to.number(std::bit_cast<std::uint64_t>(expected_));
    to.counts(before_);
    to.counts(after_);
    put_record(put, record);
    put_text_record(put, texts_);
    put_text_record(put, lines_);
  }

 private:
  void add(const caption_part& part, const captioned_sample& s) {
    leave_out_uncaptioned(part, s, report_.skipped);
    all_.clear();
    for (const auto caption : s.captions) {
      queries_(caption, ids_, scratch_);
      for (const auto id : ids_) ++before_[id];
      all_.insert(all_.end(), ids_.begin(), ids_.end());
    }
    if (all_.empty()) return;
    each_.assign(all_.begin(), all_.end());  // once per caption
    std::sort(all_.begin(), all_.end());
    all_.erase(std::unique(all_.begin(), all_.end()), all_.end());
    ++matched_;
    const auto decided = decide_(s.key, all_);
    expected_ += decided.p;
    if (!decided.kept || (s.members && !write(part, *s.members))) return;
    ++kept_;
    for (const auto id : each_) ++after_[id];
    if (!s.members) {
      texts_ += s.captions.front();
      texts_ += '\n';
    }
    if (quoted_.empty()) return;
    lines_ += cat("{\"key\":", json_quoted(s.key), ",\"p\":", decided.p);
    append_entries(lines_, all_, quoted_);
  }
  /// Returns false for a sample that a shard cannot hold.
  bool write(const caption_part& part, const sample& s) {
    if (tar_ && s.key == last_key_) {
      ++report_.unreadable;
      report_.skipped.add_unreadable(
          cat(part.path, ": ", s.key, ": expected a key that differs from the previous sample's, got the same"));
      return false;
    }
    if (!tar_) tar_.emplace(shard_);
    tar_->add(s);
    last_key_ = s.key;
    return true;
  }

  const query_matcher& queries_;
  const balancer& decide_;
  const std::vector<std::string>& quoted_;
  std::string shard_, last_key_;
  std::optional<tar_writer> tar_;
  caption_report report_;
  std::uint64_t matched_ = 0, kept_ = 0;
  double expected_ = 0;
  std::vector<std::uint64_t> before_, after_;
  std::vector<std::uint32_t> ids_, all_, each_;
  std::string scratch_, texts_, lines_;
};

/// Checks that writing shards would overwrite no input and no shard of another run.
CLIPX_INLINE void check_balance_folder(const std::string& folder, const std::vector<caption_part>& parts) {
  namespace fs = std::filesystem;
  std::error_code none;
  for (auto& p : parts) {
    const auto parent = fs::path(p.path).parent_path();
    expect(!fs::equivalent(parent.empty() ? "." : parent, folder, none),
           [&] { return cat(folder, ": expected another folder to write than that of the data (", p.path, ")"); });
  }
  for (fs::directory_iterator at(folder, none), end; !none && at != end; at.increment(none)) {
    const std::string name = at->path().filename().string();
    if (!name.ends_with(".tar")) continue;
    std::uint64_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number);
    expect(number < parts.size() && !parts[static_cast<std::size_t>(number)].lines && name == shard_name(number),
           [&] { return cat(folder, "/", name, ": a shard of something else; remove it, or write to another folder"); });
  }
}

/// Sums the results of all parts, and writes the files that belong to no part.
class balance_merge {
 public:
  balance_merge(const stage& work, const std::vector<caption_part>& parts, const std::string& folder, balance_result& out)
      : work_(work), parts_(parts), folder_(folder), out_(out) {}

  void operator()(bool decisions, bool strict) {
    const bool texts = std::any_of(parts_.begin(), parts_.end(), [](auto& p) { return p.lines; });
    const bool shards = std::any_of(parts_.begin(), parts_.end(), [](auto& p) { return !p.lines; });
    std::vector<std::pair<std::string, std::uint64_t>> sizes;
    each([&](std::size_t i, record_reader& from) {
      const auto kept = numbers(from);
      if (kept > 0 && !parts_[i].lines) sizes.emplace_back(shard_name(i), kept);
    });
    if (strict) out_.captions.skipped.expect_none();
    if (shards) write_sizes(folder_, sizes);
    if (texts) write_texts("/kept.txt", 0);
    if (decisions) write_texts("/kept.jsonl", 1);
  }

 private:
  void each(function_ref<void(std::size_t, record_reader&)> f) {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const auto file = work_.result(i);
      record_reader from(record_of(file), file.path());
      f(i, from);
    }
  }
  std::uint64_t numbers(record_reader& from) {
    out_.captions.add(from.report());
    out_.matched += from.number();
    const auto kept = from.number();
    out_.kept += kept;
    out_.expected += std::bit_cast<double>(from.number());
    from.add_counts(out_.before);
    from.add_counts(out_.after);
    return kept;
  }
  void write_texts(const char* name, int which) {
    std::vector<std::uint64_t> nothing(out_.before.size());
    write_file(folder_ + name, [&](file_writer put) {
      each([&](std::size_t, record_reader& from) {
        from.report();
        for (int k = 0; k < 3; ++k) from.number();
        for (int k = 0; k < 2; ++k) from.add_counts(nothing);
        if (which == 1) from.text();
        put_record(put, from.text());
      });
    });
  }

  const stage& work_;
  const std::vector<caption_part>& parts_;
  const std::string& folder_;
  balance_result& out_;
};

}  // namespace detail

CLIPX_INLINE balance_result balance_captions(const entry_counts& counts, const curate_data& data, const std::string& folder,
                                             const balance_options& options, stage_config config, observer& watch) {
  balance_result out;
  const auto parts = list_caption_parts(data.data, out.captions.skipped, data.part_bytes);
  if (data.strict) out.captions.skipped.expect_none();
  detail::check_balance_folder(folder, parts);
  const balancer decide(counts, options.t, options.seed);
  const query_matcher queries(counts.entries, options.rule);
  std::uint64_t hash = detail::hash_of_queries(queries);
  for (const auto c : counts.counts) hash = draws::mix(hash ^ c);
  config.folder = folder + "/state/balance";
  config.options =
      cat("balance 2 ", hash, " ", options.t, " ", options.seed, " ", options.decisions ? 1 : 0, " ", data.caption_field);
  stage work(detail::items_of(parts), std::move(config));
  const auto quoted = options.decisions ? detail::quoted_entries(queries.entries()) : std::vector<std::string>();
  work.run(
      [&](std::size_t i, file_writer put) {
        detail::balanced_part part(queries, decide, quoted, folder + "/" + shard_name(i));
        part(parts[i], data, put);
      },
      watch);

  out.parts = parts.size();
  out.missing = work.missing();
  out.whole = out.missing == 0;
  out.before.resize(counts.entries.size());
  out.after.resize(counts.entries.size());
  if (!out.whole) return out;
  detail::balance_merge(work, parts, folder, out)(options.decisions, data.strict);
  write_counts(folder + "/counts.tsv", counts.entries, out.after);
  write_file(folder + "/counts.svg", draw_counts(out.before, out.after));
  return out;
}

}  // namespace clipx
