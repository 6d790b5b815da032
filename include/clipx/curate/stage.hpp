// A stage of curation: a function of each shard, by threads and processes, whose results are files. What is done stays done.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/function_ref.hpp"
#include "../io/file.hpp"

namespace clipx {

/// A unit of work, usually a shard.
struct stage_item {
  std::string facts;  // whatever of the input decides the result, as any text: file_facts(path), a range of bytes
};

/// A file's path, size and time of last change. Errors: a file that is not there, a folder.
std::string file_facts(const std::string& path);

/// How a stage runs, and where its results are.
struct stage_config {
  std::string folder;                 // of the results; it is made where it is missing, and belongs to the stage
  std::string options;                // whatever decides the results beside the items, as any text
  int threads = 0;                    // 0: as many as the machine has
  std::uint64_t part = 0, parts = 1;  // this process does the items i with i % parts == part
};

/// "I/N" as stage_config::part and parts. Errors: another form, I not below N.
void read_part(std::string_view text, stage_config& config);

/// Results are written whole or not at all, each under a name that holds a 128-bit hash of the options and of its item's facts. So
/// a killed process loses the items that it was at, what was done is not done again, and with other options or inputs a result has
/// another name: it is made anew, and the old one is removed. Processes with different `part` share the folder, and nothing else.
class stage {
 public:
  /// Removes results of this part that are of other options or inputs. Errors: a folder that cannot be made, written or listed; no
  /// threads, no parts; another process that does the same part in this folder.
  stage(std::vector<stage_item> items, stage_config config);
  ~stage();
  stage(stage&&) noexcept;
  stage& operator=(stage&&) noexcept;

  /// Does the items of this part that are not done. work(i, put) writes the result of item i by put; it is called by several
  /// threads at once, each with another item, in about their order. After each item one thread at a time calls progress(done,
  /// total): items of this part that are done, those of earlier runs among them. Before each item stop() is asked; where it says
  /// true, items that were begun are still ended. Returns whether all items of this part are done. The first error of an item, or
  /// of writing its result, ends the others in the same way and is thrown.
  bool run(function_ref<void(std::size_t i, file_writer put)> work,
           function_ref<void(std::size_t done, std::size_t total)> progress, function_ref<bool()> stop);

  /// How many items there are, and how many of them, of all parts, are not done.
  std::size_t size() const;
  std::size_t missing() const;  // over all parts
  /// Whether this process alone may make one result of all: false while another one that asked first is at it.
  bool claim();
  /// The result of item i. Error: it is not done.
  mapped_file result(std::size_t i) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "stage-inl.hpp"
#endif
