// Counting of strings that do not fit into memory: sorted runs, merged.
#pragma once
#include <algorithm>
#include <cstdint>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../io/file.hpp"

namespace clipx::detail {

inline void append_varint(std::string& to, std::uint64_t n) {
  for (; n >= 128; n >>= 7) to += static_cast<char>(static_cast<unsigned char>(n | 128));
  to += static_cast<char>(static_cast<unsigned char>(n));
}

/// A run is a sequence of records sorted by bytes: count, length, bytes.
inline void append_counted(std::string& run, std::string_view text, std::uint64_t count) {
  append_varint(run, count);
  append_varint(run, text.size());
  run += text;
}

/// Iterates over a run in memory or in a mapped file.
class run_cursor {
 public:
  explicit run_cursor(std::string_view run) : rest_(run) {}
  /// Returns false at the end.
  bool next() {
    if (rest_.empty()) return false;
    count = varint();
    const auto length = varint();
    expect(length <= rest_.size(), error_kind::damaged,
           "curate: a run of counted words ends in the middle; remove the state folder");
    text = rest_.substr(0, static_cast<std::size_t>(length));
    rest_.remove_prefix(static_cast<std::size_t>(length));
    return true;
  }
  std::string_view text;
  std::uint64_t count = 0;

  /// Reads the next number.
  std::uint64_t varint() {
    std::uint64_t n = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      n |= std::uint64_t(byte & 127) << shift;
      if (byte < 128) break;
    }
    return n;
  }

 private:
  std::string_view rest_;
};

/// All strings of many runs, each once, sorted by bytes, with the sum of its counts.
class run_merge {
 public:
  explicit run_merge(std::span<const std::string_view> runs) {
    for (const auto run : runs)
      if (run_cursor c(run); c.next()) heap_.push_back(c);
    std::make_heap(heap_.begin(), heap_.end(), later);
  }
  /// Returns false at the end. `text` points into the runs.
  bool next() {
    if (heap_.empty()) return false;
    text = heap_.front().text;
    count = 0;
    while (!heap_.empty() && heap_.front().text == text) {
      std::pop_heap(heap_.begin(), heap_.end(), later);
      count += heap_.back().count;
      if (heap_.back().next()) std::push_heap(heap_.begin(), heap_.end(), later);
      else heap_.pop_back();
    }
    return true;
  }
  std::string_view text;
  std::uint64_t count = 0;

 private:
  static bool later(const run_cursor& a, const run_cursor& b) { return a.text > b.text; }
  std::vector<run_cursor> heap_;
};

/// Sorted runs that do not fit into memory, in unnamed files in the folder of `prefix`.
class spilled_runs {
 public:
  explicit spilled_runs(std::string prefix) : prefix_(std::move(prefix)) {}
  void spill(std::string_view run) { files_.push_back(mapped_file::spilled(prefix_, std::as_bytes(std::span(run)))); }
  /// Merges them with a last run, which stays in memory. Nothing may be added afterwards.
  run_merge merged(std::string last) {
    last_ = std::move(last);
    std::vector<std::string_view> runs{last_};
    for (auto& f : files_) runs.push_back({reinterpret_cast<const char*>(f.bytes().data()), f.bytes().size()});
    return run_merge(runs);
  }

 private:
  std::string prefix_, last_;
  std::list<mapped_file> files_;
};

/// Sorts strings: in memory while they fit, else in runs on disk.
class string_sorter {
 public:
  string_sorter(std::string prefix, std::size_t memory) : runs_(std::move(prefix)), memory_(memory) {}
  void add(std::string text) {
    bytes_ += text.size() + sizeof(std::string);
    waiting_.push_back(std::move(text));
    if (bytes_ > memory_) runs_.spill(run());
  }
  /// Nothing may be added afterwards.
  run_merge merged() { return runs_.merged(run()); }

 private:
  std::string run() {
    std::sort(waiting_.begin(), waiting_.end());
    std::string out;
    for (auto& text : waiting_) append_counted(out, text, 1);
    waiting_.clear();
    bytes_ = 0;
    return out;
  }

  spilled_runs runs_;
  std::size_t memory_, bytes_ = 0;
  std::vector<std::string> waiting_;
};

/// Counts strings: in memory while the distinct ones fit, else in runs on disk.
class string_counter {
 public:
  string_counter(std::string prefix, std::size_t memory) : runs_(std::move(prefix)), memory_(memory) {}
  void add(std::string_view text) {
    const auto [at, is_new] = counts_.try_emplace(std::string(text), 0);
    ++at->second;
    if (!is_new) return;
    bytes_ += text.size() + 80;  // the string, its count and the table's overhead
    if (bytes_ > memory_) runs_.spill(run());
  }
  /// Nothing may be added afterwards.
  run_merge merged() { return runs_.merged(run()); }

 private:
  std::string run() {
    std::vector<std::pair<std::string_view, std::uint64_t>> sorted(counts_.begin(), counts_.end());
    std::sort(sorted.begin(), sorted.end());
    std::string out;
    for (auto& [text, count] : sorted) append_counted(out, text, count);
    counts_.clear();
    bytes_ = 0;
    return out;
  }

  spilled_runs runs_;
  std::size_t memory_, bytes_ = 0;
  std::unordered_map<std::string, std::uint64_t> counts_;
};

/// The strings with the highest scores, at most `limit`; ties are broken by bytes, smaller first.
class best_strings {
 public:
  using scored = std::pair<double, std::string>;
  explicit best_strings(std::size_t limit) : limit_(limit) {}
  void add(double score, std::string_view text) {
    kept_.emplace_back(score, text);
    if (kept_.size() >= 2 * limit_ + 1024) cut();
  }
  /// In descending order of score.
  std::vector<scored> take() {
    std::sort(kept_.begin(), kept_.end(), before);
    if (kept_.size() > limit_) kept_.resize(limit_);
    return std::move(kept_);
  }

 private:
  static bool before(const scored& a, const scored& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; }
  void cut() {
    std::nth_element(kept_.begin(), kept_.begin() + static_cast<std::ptrdiff_t>(limit_), kept_.end(), before);
    kept_.resize(limit_);
  }
  std::size_t limit_;
  std::vector<scored> kept_;
};

}  // namespace clipx::detail
