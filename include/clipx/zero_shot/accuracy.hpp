// Accuracy of zero-shot classification, counted as the scores come: of them nothing is kept but their consequences.
#pragma once
#include <span>
#include <vector>

#include "fractions.hpp"
#include "retrieval.hpp"

namespace clipx {

/// Images whose class is the first and among the first five, by class, with images whose two best scores nearly tie.
struct zero_shot_metrics {
  dim images = 0, right_at_1 = 0, right_at_5 = 0;
  double acc1 = 0, acc5 = 0, mean_per_class_recall = 0;
  std::vector<dim> ties;  // images whose two best cosines differ by less than 1e-5
};

/// Error: a label that is not one of `classes` classes; `image` is its place.
inline void check_label(dim image, dim label, dim classes) {
  expect(label >= 0 && label < classes,
         [&] { return cat("image ", image, ": expected a label from 0 to ", classes - 1, ", got ", label); });
}

/// Counts images in batches of any size.
class zero_shot_counter {
 public:
  explicit zero_shot_counter(dim classes) : right_(static_cast<std::size_t>(classes)), seen_(static_cast<std::size_t>(classes)) {}

  /// cosines (N, C), labels (N) in 0 .. C - 1. Errors: a label out of that range, other sizes.
  template <class A>
  void add(std::span<const A> cosines, std::span<const dim> labels) {
    const std::size_t C = seen_.size();
    expect(cosines.size() == labels.size() * C,
           [&] { return cat("zero-shot evaluation: expected ", labels.size(), " x ", C, " cosines, got ", cosines.size()); });
    for (std::size_t i = 0; i < labels.size(); ++i) {
      check_label(total_.images, labels[i], static_cast<dim>(C));
      const auto label = static_cast<std::size_t>(labels[i]);
      const auto scores = cosines.subspan(i * C, C);
      const auto best = top_k(scores, 5);
      const bool first = best[0] == labels[i];
      total_.right_at_1 += first;
      right_[label] += first;
      seen_[label] += 1;
      total_.right_at_5 += std::find(best.begin(), best.end(), labels[i]) != best.end();
      const auto score = [&](std::size_t k) { return static_cast<double>(scores[static_cast<std::size_t>(best[k])]); };
      if (best.size() > 1 && score(0) - score(1) < 1e-5) total_.ties.push_back(total_.images);
      ++total_.images;
    }
  }

  /// The images that nearly tied so far, by their place in the order of add().
  std::span<const dim> ties() const { return total_.ties; }

  /// Of all images so far. The mean per class is over the classes that have images. Error: none.
  zero_shot_metrics metrics() const {
    expect(total_.images > 0, "zero-shot evaluation: expected at least one labelled image, got none");
    auto m = total_;
    fraction_sum recalls;
    for (std::size_t c = 0; c < seen_.size(); ++c)
      if (seen_[c]) recalls.add(right_[c], seen_[c]);
    m.mean_per_class_recall = recalls.mean();
    m.acc1 = static_cast<double>(m.right_at_1) / static_cast<double>(m.images);
    m.acc5 = static_cast<double>(m.right_at_5) / static_cast<double>(m.images);
    return m;
  }

 private:
  zero_shot_metrics total_;
  std::vector<dim> right_, seen_;  // images of each class
};

/// The same of all images at once.
template <class A>
zero_shot_metrics evaluate_zero_shot(std::span<const A> cosines, std::span<const dim> labels, dim classes) {
  zero_shot_counter counter(classes);
  if (!labels.empty()) counter.add(cosines, labels);
  return counter.metrics();
}

}  // namespace clipx
