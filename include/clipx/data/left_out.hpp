// What a reader of data left out, and why: nothing goes missing in silence, and a measure over a part of the data says so.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "../core/error.hpp"

namespace clipx {

/// All of it counted, the first few by name. A reader adds to the one that its caller gives it.
struct left_out {
  static constexpr std::size_t most_named = 8;  // messages in `first` at most

  std::uint64_t count = 0;         // parts of the data: images, samples, rows, rests of shards, folders
  std::uint64_t unreadable = 0;    // of them: damaged ones, and ones that the system refused
  std::uint64_t other_files = 0;   // beside the data: files of another kind, which belong to nothing that was read
  std::vector<std::string> first;  // "NAME: why", of the first eight that differ

  bool none() const { return count == 0 && other_files == 0; }  // whether nothing was left out

  /// `n` parts that the reader does not take: a format, a link, an image without a caption.
  void add(const std::string& name, const std::string& why, std::uint64_t n = 1) {
    count += n;
    remember(name + ": " + why);
  }
  /// A part, or `n` of them, that should have been read. The message begins with its name.
  void add_unreadable(const std::string& message, std::uint64_t n = 1) {
    count += n;
    unreadable += n;
    remember(message);
  }
  /// A part of either kind.
  void add_problem(const std::string& message, bool could_not_be_read) {
    ++count;
    unreadable += could_not_be_read;
    remember(message);
  }
  void add_other_file(const std::string& name, const std::string& why) {  // a file of another kind
    ++other_files;
    remember(name + ": " + why);
  }
  void add(const left_out& next) {  // what another reader left out
    count += next.count;
    unreadable += next.unreadable;
    other_files += next.other_files;
    for (auto& message : next.first) remember(message);
  }

  /// "left out 12, 3 of them unreadable, and 2 other files", and a line for each of the first `named`.
  std::string text(std::size_t named = 5) const {
    std::string out = cat("left out ", count);
    if (unreadable > 0) out += cat(", ", unreadable, " of them unreadable");
    if (other_files > 0) out += cat(count > 0 ? ", and " : " images, samples or rows, and ", other_files, " other files");
    for (std::size_t i = 0; i < std::min(named, first.size()); ++i) out += "\n  " + first[i];
    if (count + other_files > std::min(named, first.size()) && !first.empty()) out += "\n  ..";
    return out;
  }
  /// Error: something was left out.
  void expect_none() const {
    expect(none(), error_kind::unsupported, [&] { return text(); });
  }

 private:
  void remember(const std::string& message) {
    if (first.size() < most_named && std::find(first.begin(), first.end(), message) == first.end()) first.push_back(message);
  }
};

}  // namespace clipx
