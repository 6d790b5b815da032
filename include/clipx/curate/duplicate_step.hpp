// Duplicates within the data, and images of evaluation sets in the data, as steps of curation.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "curation.hpp"
#include "duplicates.hpp"
#include "shared_model.hpp"

namespace clipx {

/// Drops images that are duplicates of an earlier image that is kept; the first in the order of the shards is kept. The hashes are
/// stored under `step` in the sample's facts, and the image that it duplicates in the detail. An image that does not decode is
/// dropped by "image" if a rule needs its pixels. Memory: duplicate_finder's, and the keys of what is kept.
/// Errors: those of duplicate_finder.
void drop_duplicates(curation& here, const std::string& step, const duplicate_rules& rules);

/// Options of decontaminate().
struct decontaminate_config {
  std::vector<std::string> against{};  // shards of evaluation sets (list_caption_parts)
  duplicate_rules rules{};             // what counts as the same image
  std::optional<double> cosine{};      // of a model's embeddings; at or above it, an image counts as one of theirs
};

/// Drops images that are also in evaluation shards: by the rules of drop_duplicates, and by the cosine of their embeddings. Memory:
/// the hashes and the embeddings of the evaluation sets. Errors: an evaluation image that does not decode (what it shows could not
/// be removed) or a part of the shards that cannot be read, evaluation shards without an image, a cosine without a model. What else
/// evaluation shards leave out is counted by the curation.
void decontaminate(curation& here, const std::string& step, const decontaminate_config& config, shared_model* model);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "duplicate_step-inl.hpp"
#endif
