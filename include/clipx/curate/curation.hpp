// A curation on its way: shards, and what the steps so far decided about their samples, on disk.
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
  std::vector<std::string> data;             // shards and folders of shards (list_caption_parts)
  std::string caption_field;                 // for_each_captioned
  std::string out;                           // folder of the results
  std::string state;                         // folder of what is done of the steps; "": out/state
  std::uint64_t samples_per_shard = 10'000;  // of the results
  bool number_keys = false;                  // keys as img2dataset makes them (shard, place); false: they stay
  int threads = 0;                           // 0: as many as the machine has
  std::uint64_t part = 0, parts = 1;         // stage_config
};

/// Told after each item of a step how many are done, of how many.
using curation_progress = function_ref<void(const std::string& step, std::size_t done, std::size_t total)>;

/// Steps are done one after another; each gives every sample that is still there a decision, in a file for each shard below the
/// state folder. What is done is kept (stage.hpp): the same steps again go on where a kill left them, and with the same bytes.
/// Memory: the decisions of the shards that threads are at. For one thread.
class curation {
 public:
  /// The first step, "read": samples without an image, or with JSON that is no object, are dropped. Errors: those of
  /// list_caption_parts and stage, text files among the data. The functions must outlive it.
  curation(curation_config config, curation_progress progress, function_ref<bool()> stop);
  ~curation();
  curation(curation&&) noexcept;
  curation& operator=(curation&&) noexcept;

  /// False once a step is left undone: stop() said so, or other processes are still at their parts. The steps below then do
  /// nothing.
  bool whole() const;
  const curation_config& config() const;         // as given
  std::span<const caption_part> shards() const;  // all shards, in order
  /// Of all shards' facts: what steps that look at all of them at once have among their options.
  std::string hash_of_all() const;

  /// A step over shards: decide(i, out) makes the decisions of shard i from those before (walk). `step` is a name of its own;
  /// options: whatever decides, as any text. decide is called by several threads at once.
  void run(const std::string& step, const std::string& options,
           function_ref<void(std::size_t shard, std::vector<decision>& out)> decide);
  /// Work for a step whose results are no decisions: `items` of it, by default one for each shard. Null where it is not whole.
  std::unique_ptr<stage> prepare(const std::string& what, const std::string& options,
                                 function_ref<void(std::size_t item, file_writer put)> work);
  /// The same over these items.
  std::unique_ptr<stage> prepare(const std::string& what, const std::string& options, std::vector<stage_item> items,
                                 function_ref<void(std::size_t item, file_writer put)> work);

  /// Calls f with every sample of a shard and where it stands, in order; dropped ones too. Thread-safe. Error: the shard has other
  /// samples than when it was first read.
  void walk(std::size_t shard, function_ref<void(const captioned_sample&, decision&&)> f) const;
  /// The same without reading the shard.
  void walk(std::size_t shard, function_ref<void(decision&&)> f) const;
  /// Of a shard, and of all.
  shard_summary summary(std::size_t shard) const;
  shard_summary total() const;  // of all shards
  /// The steps so far, and the totals after each.
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
