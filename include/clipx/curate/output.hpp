// The results of curation: shards of the samples kept, and a list of those that were removed.
#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "../data/shard_writer.hpp"
#include "curation.hpp"

namespace clipx {

/// What was written.
struct curation_output {
  std::vector<std::pair<std::string, std::uint64_t>> shards;  // as in sizes.json
  std::uint64_t removed = 0;                                  // number of samples
};

/// Writes the samples kept to the curation's folder, in order, as 00000.tar and so on: members unchanged, and a .json with the
/// facts of all steps added under "curate" (merge_facts); sizes.json; and removed.jsonl, with a line
/// {"shard","key","step","reason","detail"} for each sample that was removed, in order. Every file is complete or does not exist.
/// Threads write one shard each; after a kill the same call writes the missing ones, with the same bytes. Shards of an earlier run
/// that this run does not have are removed. `progress` is called with the step "write". Null if the curation is incomplete. Errors:
/// no sample is kept; two adjacent samples with the same key (number_keys avoids this); shards in the folder that are not in its
/// sizes.json; a full disk.
std::optional<curation_output> write_curated(curation& here);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "output-inl.hpp"
#endif
