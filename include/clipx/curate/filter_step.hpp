// The filters as a step of curation.
#pragma once
#include <optional>
#include <string>

#include "curation.hpp"
#include "filters.hpp"
#include "shared_model.hpp"

namespace clipx {

/// Options of filter_samples().
struct filter_config {
  filter_rules rules;  // applied before the cosine
  /// Cosine of image and caption below which a sample is dropped. LAION-5B: 0.28 by ViT-B/32 for English captions, LAION-400M 0.3.
  std::optional<double> min_cosine;
  /// The cosine is computed where min_cosine is set; true: also where it is not, for the metadata alone.
  bool score = false;
  bool scores() const { return score || min_cosine; }  // whether a model is needed
};

/// Whatever of it decides, as JSON text.
std::string describe(const filter_config& config);

/// Asks the rules in their order, the cheap ones first, up to the first that drops a sample; the best of a sample's captions counts
/// (filters.hpp). What was measured is under `step` in the sample's facts. An image that does not decode is dropped by "image",
/// where a rule needs its pixels. Errors: a cosine is asked for and there is no model; those of the model, of cld2 where there is
/// none.
void filter_samples(curation& here, const std::string& step, const filter_config& config, shared_model* model);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "filter_step-inl.hpp"
#endif
