// Evaluations of a model on a data set, in bounded memory: a batch of images is read, decoded, encoded and counted at a time.
#pragma once
#include <map>

#include "../run/encode.hpp"
#include "../zero_shot/accuracy.hpp"
#include "dataset.hpp"

namespace clipx {

struct zero_shot_report {
  zero_shot_metrics metrics;
  std::vector<std::string> ties;  // the names of metrics.ties
  left_out skipped;               // a metric without them is another metric: say so
};

/// Zero-shot classification of labelled images, whose label is the class's place in prompts.classes. Of an image nothing is kept
/// but what it counts for. `skipped` is what the data set left out, and images that cannot be decoded. The observer's stages are
/// "texts" and "images". Errors: cancelled; no image can be read.
zero_shot_report evaluate_zero_shot(const any_model& model, const image_dataset& data, const prompt_set& prompts,
                                    const encode_options& options = {}, observer& watch = no_observer());

struct retrieval_report : retrieval_metrics {
  dim images = 0, captions = 0;  // that were measured
  left_out skipped;
};

/// Retrieval of images by their captions and of captions by their images. The images' embeddings are kept, and scores of some
/// captions at a time. An image that cannot be decoded is left out with its captions. Stages and errors as above.
retrieval_report evaluate_retrieval(const any_model& model, const image_dataset& data, const encode_options& options = {},
                                    observer& watch = no_observer());

/// How well a Visual N-Grams model describes captioned images with n-grams of its dictionary.
struct tagging_metrics {
  std::vector<dim> k{1, 5, 10};
  /// The mean fraction of a caption's distinct n-grams (of the dictionary, without [BEGIN] and [END]) among the k best of its
  /// image, ranked by log p_obs, and by log p_obs minus the n-gram's own log-frequency.
  std::vector<double> recall, calibrated_recall;
  dim captions = 0;                  // that have such n-grams
  dim images = 0, all_captions = 0;  // that were measured
  left_out skipped;

  struct by_length {
    dim captions = 0, words = 0;
    double log_p = 0;
    /// exp(- mean log-probability of a word).
    double perplexity() const;
  };
  std::map<dim, by_length> lengths;  // of captions with so many words, [BEGIN] and [END] counted; 20: or more
  by_length all;
};

/// Ranks the dictionary for each image. Captions without a known word count for no perplexity. Stages and errors as above, and: a
/// model without a dictionary.
tagging_metrics evaluate_tagging(const any_model& model, const image_dataset& data, const encode_options& options = {},
                                 observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "evaluate-inl.hpp"
#endif
