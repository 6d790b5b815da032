// What prompts are worth: one set of labelled images classified by several ways of writing and combining the texts of its classes
// (CLIP paper, section 3.1.4).
#pragma once
#include "evaluate.hpp"

namespace clipx {

/// How the texts of a class are combined.
enum class prompt_ensemble {
  embeddings,    // one classifier of averaged embeddings, as evaluate_zero_shot() does
  probabilities  // a classifier for each text; their probabilities are averaged
};

/// One way to classify.
struct prompt_arm {
  std::string name;
  prompt_set prompts;
  prompt_ensemble ensemble = prompt_ensemble::embeddings;
};

/// Images whose class shares its name with another class, such as the two senses of "crane".
struct shared_name_metrics {
  dim images = 0, right = 0;  // right: the highest score among the classes of that name is the image's own class
  /// The mean over these classes of the fraction of their images that are right; 0 where there are none. Where two senses have the
  /// same texts, it is 0.5, however many images each has.
  double mean_per_class = 0;
};

struct prompt_comparison {
  std::string name;
  zero_shot_metrics metrics;
  shared_name_metrics shared_names;
  left_out skipped;  // the same for every arm
};

/// `text` with a context before its full stop: "a photo of a crane." and "a bird" make "a photo of a crane, a bird.". A text
/// without a full stop gets none. An empty context changes nothing.
std::string add_context(std::string text, const std::string& context);

/// The classes whose names occur more than once are told apart by their indices. Ties go to the smaller index.
class shared_name_counter {
 public:
  explicit shared_name_counter(std::span<const std::string> classes);
  /// scores (N, C), labels (N) in 0 .. C - 1.
  void add(std::span<const double> scores, std::span<const dim> labels);
  shared_name_metrics metrics() const;

 private:
  std::vector<std::vector<dim>> namesakes_;  // of each class, itself among them, in ascending order
  std::vector<dim> images_, right_;          // of each class
};

/// Classifies every image by every arm; results are in the order of the arms. Each image is read, decoded and encoded once, each
/// different text is encoded once. On the device there are then (C, D) floats for each arm that averages embeddings, and for each
/// text of a class where probabilities are averaged; equal classifiers are kept once. The labels' names are the classes of the
/// first arm. Errors: no arms; arms with other numbers of classes; classes with other numbers of texts where probabilities are
/// averaged; a Visual N-Grams model, which has no text tower; those of evaluate_zero_shot().
std::vector<prompt_comparison> compare_prompts(const any_model& model, const image_dataset& data, std::span<const prompt_arm> arms,
                                               const encode_options& options = {}, observer& watch = no_observer());

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "compare_prompts-inl.hpp"
#endif
