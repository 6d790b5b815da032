// A stage of curation: a function of each shard, computed by threads and processes, with files as results. Finished work is kept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../core/function_ref.hpp"
#include "../core/observer.hpp"
#include "../io/file.hpp"

namespace clipx {

/// A unit of work, usually a shard.
struct stage_item {
  std::string facts;  // any text that contains everything in the input that affects the result: file_facts(path), a range of bytes
};

/// A file's path, size and modification time. Errors: a file that does not exist, a folder.
std::string file_facts(const std::string& path);

/// How a stage runs, and where its results are.
struct stage_config {
  std::string folder{};               // for the results; created if it does not exist, and owned by the stage
  std::string options{};              // any text that contains everything else that affects the results
  int threads = 0;                    // 0: one for each processor
  std::uint64_t part = 0, parts = 1;  // this process computes the items i with i % parts == part
};

/// Parses "I/N" into stage_config::part and parts. Errors: another form, I not below N.
void read_part(std::string_view text, stage_config& config);

/// Results are written completely or not at all, each under a name with a 128-bit hash of the options and of its item's facts. So a
/// killed process loses only the items in progress, finished items are not computed again, and with other options or inputs a
/// result has another name: it is computed again, and the old one is removed.
/// Processes with different `part` share the folder and nothing else.
class stage {
 public:
  /// Removes results of this part that belong to other options or inputs. Errors: a folder that cannot be created, written or
  /// listed; no threads, no parts; another process that computes the same part in this folder.
  stage(std::vector<stage_item> items, stage_config config);
  ~stage();
  stage(stage&&) noexcept;
  stage& operator=(stage&&) noexcept;

  /// Does the items of this part that are not done. work(i, put) writes the result of item i by put; it is called by several
  /// threads at once, each with another item, in about their order. The observer's stage is `name`, its items those of this part;
  /// one thread at a time calls it. It is asked for cancellation before each item; items that were begun are still completed, and
  /// that is no error. Returns whether all items of this part are done. The first error of an item, or of writing its result, ends
  /// the others in the same way and is thrown.
  bool run(function_ref<void(std::size_t i, file_writer put)> work, observer& watch = no_observer(),
           const std::string& name = "parts");

  /// The number of items, and of those, over all parts, that are not done.
  std::size_t size() const;
  std::size_t missing() const;  // over all parts
  /// Whether this process may compute a result of all items: false while another process that asked first is doing so.
  bool claim();
  /// The result of item i. Errors: it is not done.
  mapped_file result(std::size_t i) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "stage-inl.hpp"
#endif
