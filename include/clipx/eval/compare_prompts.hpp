// Comparison of prompts: a set of labeled images is classified with several ways of writing and combining the texts of its classes
// (paper section 3.1.4).
#pragma once
#include "evaluate.hpp"

namespace clipx {

/// How the texts of a class are combined.
enum class prompt_ensemble {
  embeddings,    // one classifier of averaged embeddings, as in evaluate_zero_shot()
  probabilities  // one classifier per text, whose probabilities are averaged
};

/// One way to classify.
struct prompt_arm {
  std::string name;                                        // for reports
  prompt_set prompts;                                      // the classes, with their texts
  prompt_ensemble ensemble = prompt_ensemble::embeddings;  // for classes of several texts
};

/// Results for images whose class shares its name with another class, such as the two senses of "crane".
struct shared_name_metrics {
  dim images = 0, right = 0;  // right: among the classes of that name, the image's own has the highest score
  /// The mean over these classes of the fraction of their images that are right; 0 if there are none. It is 0.5 for two senses with
  /// the same texts, whatever their numbers of images.
  double mean_per_class = 0;
};

/// The result of one arm.
struct prompt_comparison {
  std::string name;                  // the arm's
  zero_shot_metrics metrics;         // over all images
  shared_name_metrics shared_names;  // over images whose class shares its name
  left_out skipped;                  // the same for every arm
};

/// `text` with a context before its full stop: "a photo of a crane." and "a bird" give "a photo of a crane, a bird.". No full stop
/// is added to a text without one. An empty context changes nothing.
std::string add_context(std::string text, const std::string& context);

/// Classes with the same name are distinguished by their indices. Ties go to the smaller index.
class shared_name_counter {
 public:
  /// The names of the C classes.
  explicit shared_name_counter(std::span<const std::string> classes);
  /// scores (N, C), labels (N) in 0 .. C - 1.
  void add(std::span<const double> scores, std::span<const dim> labels);
  shared_name_metrics metrics() const;  // for all images so far

 private:
  std::vector<std::vector<dim>> namesakes_;  // per name: the classes that have it, ascending
  std::vector<std::size_t> name_of_;         // per class: index into namesakes_
  std::vector<dim> images_, right_;          // per class
};

/// Classifies every image with every arm; results are in the order of the arms. Each image is read, decoded and encoded once, each
/// distinct text is encoded once. The device then holds (C, D) floats for each arm that averages embeddings, and for each text of a
/// class if probabilities are averaged; equal classifiers are stored once. The labels' names are the classes of the first arm.
/// Errors: no arms; arms with different numbers of classes; classes with different numbers of texts where probabilities are
/// averaged; a Visual N-Grams model, which has no text tower; more than 2^22 distinct texts, whose embeddings are held until all
/// classifiers are made; those of evaluate_zero_shot().
std::vector<prompt_comparison> compare_prompts(const any_model& model, const image_dataset& data, std::span<const prompt_arm> arms,
                                               const encode_options& options = {}, observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "compare_prompts-inl.hpp"
#endif
