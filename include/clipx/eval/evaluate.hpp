// Evaluations of a model on a data set, in bounded memory: one batch of images at a time is read, decoded, encoded and counted.
#pragma once
#include <map>

#include "../run/encode.hpp"
#include "../zero_shot/accuracy.hpp"
#include "dataset.hpp"

namespace clipx {

enum class eval_stage { texts, images };
/// Called after each part of an evaluation with the number of the stage's texts or images done, and their total.
using eval_progress = function_ref<void(eval_stage stage, std::size_t done, std::size_t total)>;

struct zero_shot_report {
  zero_shot_metrics metrics;
  std::vector<std::string> ties;  // the names of the images in metrics.ties
};

/// Zero-shot classification of labeled images; a label is an index into prompts.classes. Only counts are kept. config.preprocess
/// is ignored in favor of the model's. Errors: an image that cannot be decoded,
/// because a metric over fewer images would be another metric.
zero_shot_report evaluate_zero_shot(any_model& model, const image_dataset& data, const prompt_set& prompts,
                                    image_batch_config config, eval_progress progress);

/// Retrieval of images by captions and of captions by images. Keeps the images' embeddings, and the scores of some captions at a
/// time. config and errors as above.
retrieval_metrics evaluate_retrieval(any_model& model, const image_dataset& data, image_batch_config config,
                                     eval_progress progress);

/// How well a Visual N-Grams model describes captioned images with n-grams of its dictionary.
struct tagging_metrics {
  std::vector<dim> k{1, 5, 10};
  /// The mean fraction of a caption's distinct n-grams (of the dictionary, without [BEGIN] and [END]) that are among the k best of
  /// its image, ranked by log p_obs, and by log p_obs minus the n-gram's own log-frequency.
  std::vector<double> recall, calibrated_recall;
  dim captions = 0;  // with such n-grams

  struct by_length {
    dim captions = 0, words = 0;
    double log_p = 0;
    /// exp(- mean log-probability of a word).
    double perplexity() const;
  };
  std::map<dim, by_length> lengths;  // by number of words, including [BEGIN] and [END]; 20: 20 or more
  by_length all;
};

/// Ranks the dictionary for each image. Captions without a known word are left out of the perplexity. config and errors as above,
/// and: a model without a dictionary.
tagging_metrics evaluate_tagging(any_model& model, const image_dataset& data, image_batch_config config, eval_progress progress);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "evaluate-inl.hpp"
#endif
