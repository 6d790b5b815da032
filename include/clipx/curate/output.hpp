// What curation leaves: shards of the samples that stay, and a list of those that were removed.
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

/// Writes to the curation's folder the samples that stay, in their order, as 00000.tar and so on: members with the bytes that they
/// had, and a .json with what every step said under "curate" beside what it held before (merge_facts); sizes.json; removed.jsonl, a
/// line
/// {"shard","key","step","reason","detail"} for each sample that does not stay, in order. Every file is whole or not there. Threads
/// write a shard each; after a kill the same call writes those that are missing, with the same bytes. Shards of an earlier run that
/// this one has not are removed. `progress` is called with the step "write". Null where the curation is not whole. Errors: no
/// sample stays; two neighbours of one key (number_keys helps); shards in the folder that are not in its sizes.json; a full disk.
std::optional<curation_output> write_curated(curation& here);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "output-inl.hpp"
#endif
