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
  filter_rules rules{};  // applied before the cosine
  /// Samples with a lower cosine of image and caption are dropped. LAION-5B: 0.28 by ViT-B/32 for English captions;
  /// LAION-400M: 0.3.
  std::optional<double> min_cosine{};
  /// Computes the cosine for the metadata even if min_cosine is not set.
  bool score = false;
  bool scores() const { return score || min_cosine; }  // whether a model is needed
};

/// Everything in it that affects the result, as JSON text.
std::string describe(const filter_config& config);

/// Applies the rules in order, the cheap ones first, up to the first that drops a sample; the best of a sample's captions counts
/// (filters.hpp). Measurements are stored under `step` in the sample's facts. An image that does not decode is dropped by "image"
/// if a rule needs its pixels. Errors: a cosine is required and there is no model; those of the model; those of cld2, if clipx was
/// built without it.
void filter_samples(curation& here, const std::string& step, const filter_config& config, shared_model* model);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "filter_step-inl.hpp"
#endif
