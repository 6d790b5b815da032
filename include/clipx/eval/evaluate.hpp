// Evaluations of a model on a data set, in bounded memory: one batch of images at a time is read, decoded, encoded and counted.
#pragma once
#include <map>

#include "../run/encode.hpp"
#include "../zero_shot/accuracy.hpp"
#include "dataset.hpp"

namespace clipx {

/// The result of a classification.
struct zero_shot_report {
  zero_shot_metrics metrics;      // counts and accuracies
  std::vector<std::string> ties;  // the names of the images in metrics.ties
  left_out skipped;               // a metric without them is another metric: say so
};

/// Zero-shot classification of labeled images, whose label is the class's place in prompts.classes. Of an image nothing is kept
/// but what it counts for. `skipped` is what the data set left out, and images that cannot be decoded. The observer's stages are
/// "texts" and "images". Errors: cancelled; no image can be read.
zero_shot_report evaluate_zero_shot(const any_model& model, const image_dataset& data, const prompt_set& prompts,
                                    const encode_options& options = {}, observer& watch = no_observer());

/// Recalls, what they were measured on, and what was left out.
struct retrieval_report : retrieval_metrics {
  dim images = 0, captions = 0;  // that were measured
  left_out skipped;              // what could not be read
};

/// Retrieval of images by their captions and of captions by their images. The images' embeddings are kept, and scores of some
/// captions at a time. An image that cannot be decoded is left out with its captions. Stages and errors as above.
retrieval_report evaluate_retrieval(const any_model& model, const image_dataset& data, const encode_options& options = {},
                                    observer& watch = no_observer());

/// How well a Visual N-Grams model describes captioned images with n-grams of its dictionary.
struct tagging_metrics {
  std::vector<dim> k{1, 5, 10};  // the ranks at which recall is measured
  /// The mean fraction of a caption's distinct n-grams (of the dictionary, without [BEGIN] and [END]) that are among the k best of
  /// its image, ranked by log p_obs, and by log p_obs minus the n-gram's own log-frequency.
  std::vector<double> recall, calibrated_recall;
  dim captions = 0;                  // with such n-grams
  dim images = 0, all_captions = 0;  // that were measured
  left_out skipped;                  // what could not be read

  /// Captions of one length.
  struct by_length {
    dim captions = 0, words = 0;  // their number, and that of their words that the dictionary has, [BEGIN] and [END] included
    double log_p = 0;             // sum of the captions' log-probabilities
    /// exp(- mean log-probability of a word).
    double perplexity() const;
  };
  std::map<dim, by_length> lengths;  // by number of words, including [BEGIN] and [END]; 20: 20 or more
  by_length all;                     // captions of any length
};

/// Ranks the dictionary for each image. Captions without a known word count for no perplexity. Stages and errors as above, and: a
/// model without a dictionary.
tagging_metrics evaluate_tagging(const any_model& model, const image_dataset& data, const encode_options& options = {},
                                 observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "evaluate-inl.hpp"
#endif
