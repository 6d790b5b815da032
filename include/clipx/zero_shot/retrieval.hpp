// Ranking: the labels of an image, the k nearest rows, and recall of retrieval. Ties go to the smaller index.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"
#include "../loss/policy.hpp"

namespace clipx {

/// Indices of the k largest scores, in descending order of the scores.
template <class A>
std::vector<dim> top_k(std::span<const A> scores, dim k) {
  std::vector<dim> order(scores.size());
  std::iota(order.begin(), order.end(), dim{0});
  const auto best = order.begin() + std::min<dim>(k, static_cast<dim>(order.size()));
  std::partial_sort(order.begin(), best, order.end(), [&](dim a, dim b) {
    const A x = scores[static_cast<std::size_t>(a)], y = scores[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  order.erase(best, order.end());
  return order;
}

/// (label, probability) of an image from its cosines with the labels, in descending order.
template <class A>
std::vector<std::pair<dim, double>> rank(std::span<const A> cosines, const scoring& score) {
  std::vector<double> p(cosines.begin(), cosines.end());
  score.probabilities(p);
  std::vector<std::pair<dim, double>> out;
  for (dim label : top_k(cosines, static_cast<dim>(cosines.size()))) out.emplace_back(label, p[static_cast<std::size_t>(label)]);
  return out;
}

/// Hits among the first k, counted as integers, so that recall is an exact fraction.
class recall_counter {
 public:
  /// `ks`: the ranks at which recall is measured.
  explicit recall_counter(std::vector<dim> ks) : k_(std::move(ks)), hits_(k_.size()) {}
  /// `rank`: number of candidates before the first hit.
  void add(dim rank) {
    for (std::size_t i = 0; i < k_.size(); ++i) hits_[i] += rank < k_[i];
  }
  /// The fraction of `queries` with a hit, for each k.
  std::vector<double> recall(dim queries) const {
    std::vector<double> out;
    for (dim n : hits_) out.push_back(static_cast<double>(n) / static_cast<double>(queries));
    return out;
  }

 private:
  std::vector<dim> k_, hits_;
};

/// R@k in both directions. Text -> image: captions whose image is among the first k. Image -> text: images with at least one of
/// their captions among the first k (a hit, not a fraction).
struct retrieval_metrics {
  std::vector<dim> k;                             // the ranks at which recall is measured
  std::vector<double> image_recall, text_recall;  // fractions at each k: of texts, of images
};

/// Counts texts as their scores arrive; keeps only, for each image, the texts with the highest scores.
class retrieval_counter {
 public:
  /// image_of[t] is the image of text t. Errors: no texts or no images.
  retrieval_counter(std::vector<dim> image_of, dim images, std::vector<dim> ks = {1, 5, 10})
      : image_of_(std::move(image_of)), k_(std::move(ks)), found_(k_), deepest_(*std::max_element(k_.begin(), k_.end())) {
    expect(!image_of_.empty() && images > 0, "retrieval evaluation: expected images with captions, got none");
    best_texts_.resize(static_cast<std::size_t>(images));
  }

  /// cosines (N, images) of the next N texts. Errors: other sizes, more texts than there are.
  template <class A>
  void add(std::span<const A> cosines) {
    const std::size_t images = best_texts_.size(), n = cosines.size() / images;
    expect(n * images == cosines.size() && next_ + n <= image_of_.size(), [&] {
      return cat("retrieval evaluation: expected cosines of ", images, " images with at most ", image_of_.size() - next_,
                 " texts, got ", cosines.size());
    });
    for (std::size_t row = 0; row < n; ++row, ++next_) {
      const auto scores = cosines.subspan(row * images, images);
      const auto best = top_k(scores, deepest_);
      found_.add(rank_of(best, std::find(best.begin(), best.end(), image_of_[next_])));
      for (std::size_t i = 0; i < images; ++i) remember(best_texts_[i], static_cast<double>(scores[i]));
    }
  }

  /// Errors: not all texts have been added.
  retrieval_metrics metrics() const {
    expect(next_ == image_of_.size(),
           [&] { return cat("retrieval evaluation: expected cosines of ", image_of_.size(), " texts, got ", next_); });
    recall_counter texts(k_);
    for (std::size_t i = 0; i < best_texts_.size(); ++i) {
      const auto& best = best_texts_[i];
      const auto own = [&](const scored& text) { return image_of_[text.text] == static_cast<dim>(i); };
      texts.add(rank_of(best, std::find_if(best.begin(), best.end(), own)));
    }
    return {k_, found_.recall(static_cast<dim>(image_of_.size())), texts.recall(static_cast<dim>(best_texts_.size()))};
  }

 private:
  struct scored {
    double score;
    std::size_t text;
  };

  /// The rank of a hit; if there is none, a rank beyond every k.
  template <class List>
  dim rank_of(const List& best, typename List::const_iterator hit) const {
    return hit == best.end() ? deepest_ : hit - best.begin();
  }
  /// Keeps the best texts of an image in descending order of score; equal scores in the order of their indices.
  void remember(std::vector<scored>& best, double score) const {
    const bool full = static_cast<dim>(best.size()) == deepest_;
    if (full && !(score > best.back().score)) return;
    if (full) best.pop_back();
    auto at = best.end();
    while (at != best.begin() && score > (at - 1)->score) --at;
    best.insert(at, {score, next_});
  }

  std::vector<dim> image_of_;
  std::vector<dim> k_;
  std::vector<std::vector<scored>> best_texts_;  // per image
  recall_counter found_;                         // images found by the texts so far
  dim deepest_;
  std::size_t next_ = 0;  // number of texts so far
};

/// The same for all texts at once: cosines (texts, images).
template <class A>
retrieval_metrics evaluate_retrieval(std::span<const A> cosines, std::span<const dim> image_of, dim images,
                                     std::vector<dim> ks = {1, 5, 10}) {
  retrieval_counter counter({image_of.begin(), image_of.end()}, images, std::move(ks));
  counter.add(cosines);
  return counter.metrics();
}

}  // namespace clipx
