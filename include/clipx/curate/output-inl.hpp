// Definitions of output.hpp.
#pragma once
#include <algorithm>
#include <filesystem>

#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "../data/shard_writer-inl.hpp"
#include "../io/lock.hpp"
#include "curation-inl.hpp"
#include "decisions-inl.hpp"
#include "output.hpp"

namespace clipx {
namespace detail {

/// A sample as it is written: its members, and the facts in its JSON.
struct curated_sample {
  sample out;
  std::string json_text;

  void make(const sample& s, const decision& d, const std::string& key, const std::string& name) {
    const auto before = s.find("json");
    json_text = merge_facts(before ? chars_of(*before) : std::string_view(), d, name);
    const auto bytes = std::as_bytes(std::span(json_text));
    out = s;
    out.key = key;
    for (auto& [suffix, data] : out.members)
      if (suffix == "json") data = bytes;
    if (!before) out.members.emplace_back("json", bytes);
  }
};

/// A key as img2dataset makes it: five digits of the shard, four of the index in it.
inline std::string numbered_key(std::uint64_t shard, std::uint64_t place) {
  const auto padded = [](std::uint64_t n, std::size_t width) {
    const auto digits = std::to_string(n);
    return std::string(digits.size() < width ? width - digits.size() : 0, '0') + digits;
  };
  return padded(shard, 5) + padded(place, 4);
}

/// Which samples go into which shard: the samples kept are numbered over all of the curation's shards.
struct output_plan {
  std::vector<std::uint64_t> begin{0};  // per input shard
  std::uint64_t per_shard;
  output_plan(const curation& here) : per_shard(here.config().samples_per_shard) {
    for (std::size_t i = 0; i < here.shards().size(); ++i) begin.push_back(begin.back() + here.summary(i).kept);
  }
  std::uint64_t size() const { return begin.back(); }
  std::size_t shards() const { return static_cast<std::size_t>((size() + per_shard - 1) / per_shard); }
  std::uint64_t from(std::size_t shard) const { return shard * per_shard; }
  std::uint64_t to(std::size_t shard) const { return std::min(size(), (shard + 1) * per_shard); }
};

/// Removes what a killed process has left of a file.
CLIPX_INLINE void remove_temporary(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code problem, none;
  const auto start = fs::path(path).filename().string() + ".tmp.";
  std::vector<fs::path> found;
  for (fs::directory_iterator at(fs::path(path).parent_path(), problem), end; !problem && at != end; at.increment(problem))
    if (at->path().filename().string().starts_with(start)) found.push_back(at->path());
  for (const auto& one : found) fs::remove(one, none);
}

/// Held while the files about all shards are written: if several processes find every part done, one at a time writes them.
class final_lock {
 public:
  explicit final_lock(const curation& here) : file_(file_lock::wait_for(here.config().state + "/lock.final")) {}

 private:
  file_lock file_;
};

CLIPX_INLINE void write_one_shard(const curation& here, const output_plan& plan, std::size_t number, const std::string& path) {
  remove_temporary(path);
  tar_writer out(path);
  curated_sample curated;
  auto shard =
      static_cast<std::size_t>(std::upper_bound(plan.begin.begin(), plan.begin.end(), plan.from(number)) - plan.begin.begin()) - 1;
  for (; shard < here.shards().size() && plan.begin[shard] < plan.to(number); ++shard) {
    auto at = plan.begin[shard];
    here.walk(shard, [&](const captioned_sample& s, decision&& d) {
      if (!d.kept()) return;
      const auto place = at++;
      if (place < plan.from(number) || place >= plan.to(number)) return;
      const auto key = here.config().number_keys ? numbered_key(number, place - plan.from(number)) : d.key;
      curated.make(*s.members, d, key, cat(here.shards()[shard].path, ": ", d.key));
      out.add(curated.out);
    });
  }
  out.commit();
}

/// Removes shards of an earlier run, as listed in its sizes.json, from `count` on. Errors: shards that are not listed.
CLIPX_INLINE void remove_earlier(const std::string& folder, std::size_t count) {
  namespace fs = std::filesystem;
  std::error_code problem, none;
  json sizes = json::object();
  const auto list = folder + "/sizes.json";
  if (fs::exists(list, none)) {
    const auto file = mapped_file::open(list);
    sizes = parse_json(chars_of(file.bytes()), list, 8);
  }
  std::vector<fs::path> earlier;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    const auto name = at->path().filename().string();
    if (!name.ends_with(".tar")) continue;
    std::uint64_t number = 0;
    const bool ours =
        std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc{} && shard_name(number) == name;
    if (ours && number < count) continue;
    expect(ours && sizes.contains(name), [&] {
      return cat(folder, ": expected a folder of its own for the results, got one that has ", name,
                 ", which belongs to no earlier run; remove it or name another folder");
    });
    earlier.push_back(at->path());
  }
  for (const auto& one : earlier) fs::remove(one, none);
}

CLIPX_INLINE std::uint64_t write_removed(const curation& here) {
  std::uint64_t removed = 0;
  const auto path = here.config().out + "/removed.jsonl";
  remove_temporary(path);
  write_file(path, [&](file_writer put) {
    std::string lines;
    for (std::size_t i = 0; i < here.shards().size(); ++i) {
      here.walk(i, [&](decision&& d) {
        if (d.kept()) return;
        ++removed;
        lines += json_line({{"shard", here.shards()[i].path},
                            {"key", d.key},
                            {"step", d.step},
                            {"reason", d.why.reason},
                            {"detail", d.why.detail}});
      });
      put_record(put, lines);
      lines.clear();
    }
  });
  return removed;
}

}  // namespace detail

CLIPX_INLINE std::optional<curation_output> write_curated(curation& here) {
  if (!here.whole()) return {};
  const auto& c = here.config();
  expect(c.samples_per_shard > 0, "curation: expected at least 1 sample per shard, got 0");
  const detail::output_plan plan(here);
  expect(plan.size() > 0, [&] {
    std::string why = cat(c.out, ": expected samples that stay, got none of ", here.total().samples);
    for (const auto& [reason, n] : here.total().dropped) why += cat("\n  ", n, " dropped by ", reason);
    for (const auto& problem : here.total().read.skipped.first) why += cat("\n  ", problem);
    return why;
  });
  std::error_code problem;
  std::filesystem::create_directories(c.out, problem);
  expect(!problem, error_kind::io, [&] { return cat(c.out, ": cannot be created as a folder: ", problem.message()); });
  const auto path = [&](std::size_t i) { return cat(c.out, "/", shard_name(i)); };
  detail::remove_earlier(c.out, plan.shards());
  const std::vector<stage_item> items(plan.shards(), {here.hash_of_all()});
  const auto options = cat(c.out, " ", c.samples_per_shard, " ", c.number_keys ? 1 : 0);
  const auto done = here.prepare("write", options, items, [&](std::size_t i, file_writer put) {
    detail::write_one_shard(here, plan, i, path(i));
    std::error_code none;
    detail::put_record(put, cat(std::filesystem::file_size(path(i), none), "\n"));
  });
  if (!done) return {};
  curation_output out;
  for (std::size_t i = 0; i < plan.shards(); ++i) {
    const auto size = done->result(i);
    std::error_code none;
    expect(detail::chars_of(size.bytes()) == cat(std::filesystem::file_size(path(i), none), "\n"), error_kind::mismatch, [&] {
      return cat(path(i), ": is not as it was written; remove ", std::filesystem::path(size.path()).parent_path().string(),
                 " to write the shards again");
    });
    out.shards.emplace_back(shard_name(i), plan.to(i) - plan.from(i));
  }
  const detail::final_lock alone(here);
  detail::remove_temporary(c.out + "/sizes.json");
  write_sizes(c.out, out.shards);
  out.removed = detail::write_removed(here);
  return out;
}

}  // namespace clipx
