// A curation in progress: shards, and what the steps so far have decided about their samples, on disk.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "captions_source.hpp"
#include "decisions.hpp"
#include "stage.hpp"

namespace clipx {

/// What is curated, and where results go.
struct curation_config {
  std::vector<std::string> data{};           // shards and folders of shards (list_caption_parts)
  std::string caption_field{};               // for_each_captioned
  std::string out{};                         // folder of the results
  std::string state{};                       // folder for the state of the steps; "": out/state
  std::uint64_t samples_per_shard = 10'000;  // of the results
  bool number_keys = false;                  // keys as img2dataset makes them (shard, index); false: keys are kept
  bool strict = false;                       // error: something is left out, where otherwise the rest is done
  int threads = 0;                           // 0: one for each processor
  std::uint64_t part = 0, parts = 1;         // see stage_config
};

/// Steps run one after another; each makes a decision about every sample not yet dropped, in one file per shard in the state
/// folder. Results are kept (stage.hpp): running the same steps again continues where a kill interrupted them, and produces the
/// same bytes. Memory: the decisions about the shards in progress. Not thread-safe.
class curation {
 public:
  /// The first step, "read": samples without an image, or with JSON that is no object, are dropped and left out. Errors: those of
  /// list_caption_parts and stage, text files among the data; with config.strict, here and in run(), anything that is left out. The
  /// observer, whose stages are the steps (see stage::run), must outlive it.
  explicit curation(curation_config config, observer& watch = no_observer());
  ~curation();
  curation(curation&&) noexcept;
  curation& operator=(curation&&) noexcept;

  /// False once a step is left undone: the observer cancelled it, or other processes are still at their parts. The steps below then
  /// do nothing.
  bool whole() const;
  const curation_config& config() const;         // as given
  std::span<const caption_part> shards() const;  // all shards, in order
  /// A hash of the facts of all shards, for the options of steps that look at all shards at once.
  std::string hash_of_all() const;

  /// A step over shards: decide(i, out) makes the decisions about shard i from the previous ones (walk). `step` is a unique name;
  /// `options` is any text that contains everything that affects the result. decide is called by several threads at once. Samples
  /// that it drops as missing or unreadable (dropped_as) are left out.
  void run(const std::string& step, const std::string& options,
           function_ref<void(std::size_t shard, std::vector<decision>& out)> decide);
  /// Counts what a step's own data leave out, such as evaluation shards. Errors: with config.strict, anything.
  void leave_out(const left_out& more);
  /// A stage for a step whose results are not decisions: over `items`, by default one per shard. Null if it is incomplete.
  std::unique_ptr<stage> prepare(const std::string& what, const std::string& options,
                                 function_ref<void(std::size_t item, file_writer put)> work);
  /// The same over these items.
  std::unique_ptr<stage> prepare(const std::string& what, const std::string& options, std::vector<stage_item> items,
                                 function_ref<void(std::size_t item, file_writer put)> work);

  /// Calls f with every sample of a shard, including dropped ones, and the decision about it, in order. Thread-safe. Errors: the
  /// shard has changed since it was first read.
  void walk(std::size_t shard, function_ref<void(const captioned_sample&, decision&&)> f) const;
  /// The same without reading the shard.
  void walk(std::size_t shard, function_ref<void(decision&&)> f) const;
  /// For a shard, and for all of them.
  shard_summary summary(std::size_t shard) const;
  shard_summary total() const;  // of all shards
  /// The steps so far, with the totals after each.
  struct step_total {
    std::string step;     // its name
    shard_summary after;  // of all shards
  };
  const std::vector<step_total>& steps() const;  // in order

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "curation-inl.hpp"
#endif
