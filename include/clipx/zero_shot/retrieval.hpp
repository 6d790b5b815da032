// Ranking: labels of a picture, the k nearest rows, and the metrics of the paper's evaluations. Ties go to the smaller index.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx {

/// Indices of the k largest scores, falling.
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

/// (label, probability) falling: softmax of exp(log_scale) * cosine over the labels.
template <class A>
std::vector<std::pair<dim, double>> probabilities(std::span<const A> cosines, double log_scale) {
  const auto order = top_k(cosines, static_cast<dim>(cosines.size()));
  std::vector<std::pair<dim, double>> out;
  double sum = 0;
  for (dim label : order) {
    const double gap = static_cast<double>(cosines[static_cast<std::size_t>(label)]) -
                       static_cast<double>(cosines[static_cast<std::size_t>(order[0])]);
    out.emplace_back(label, std::exp(std::exp(log_scale) * gap));
    sum += out.back().second;
  }
  for (auto& [label, p] : out) p /= sum;
  return out;
}

/// Right pictures among the first and the first five, by class, with pictures whose two best scores nearly tie.
struct zero_shot_metrics {
  dim pictures = 0, right_at_1 = 0, right_at_5 = 0;
  double acc1 = 0, acc5 = 0, mean_per_class_recall = 0;
  std::vector<dim> ties;  // pictures whose two best cosines differ by less than 1e-5
};

/// cosines (N, C), labels (N) in 0 .. C - 1. Mean per class is over the classes that have pictures.
template <class A>
zero_shot_metrics evaluate_zero_shot(std::span<const A> cosines, std::span<const dim> labels, dim classes) {
  zero_shot_metrics m;
  m.pictures = static_cast<dim>(labels.size());
  std::vector<dim> right(static_cast<std::size_t>(classes)), seen(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    expect(labels[i] >= 0 && labels[i] < classes,
           [&] { return cat("picture ", i, ": expected a label from 0 to ", classes - 1, ", got ", labels[i]); });
    const auto scores = cosines.subspan(i * static_cast<std::size_t>(classes), static_cast<std::size_t>(classes));
    const auto best = top_k(scores, 5);
    const bool first = best[0] == labels[i];
    m.right_at_1 += first, m.right_at_5 += std::find(best.begin(), best.end(), labels[i]) != best.end();
    right[static_cast<std::size_t>(labels[i])] += first, seen[static_cast<std::size_t>(labels[i])] += 1;
    if (best.size() > 1 && static_cast<double>(scores[static_cast<std::size_t>(best[0])]) -
                                   static_cast<double>(scores[static_cast<std::size_t>(best[1])]) <
                               1e-5)
      m.ties.push_back(static_cast<dim>(i));
  }
  expect(m.pictures > 0, "zero-shot evaluation: expected at least one labelled picture, got none");
  double sum = 0, present = 0;
  for (std::size_t c = 0; c < seen.size(); ++c)
    if (seen[c]) sum += static_cast<double>(right[c]) / static_cast<double>(seen[c]), present += 1;
  m.mean_per_class_recall = sum / present;
  m.acc1 = static_cast<double>(m.right_at_1) / static_cast<double>(m.pictures);
  m.acc5 = static_cast<double>(m.right_at_5) / static_cast<double>(m.pictures);
  return m;
}

/// R@k both ways. Text -> image: captions whose picture is among the first k. Image -> text: pictures with at least one of
/// their captions among the first k (a hit, not a share).
struct retrieval_metrics {
  std::vector<dim> k;
  std::vector<double> image_recall, text_recall;
};

/// cosines (texts, images); image_of[t] is the picture of text t.
template <class A>
retrieval_metrics evaluate_retrieval(std::span<const A> cosines, std::span<const dim> image_of, dim images,
                                     std::vector<dim> ks = {1, 5, 10}) {
  const dim texts = static_cast<dim>(image_of.size());
  expect(texts > 0 && images > 0, "retrieval evaluation: expected pictures with captions, got none");
  retrieval_metrics m{std::move(ks), {}, {}};
  m.image_recall.resize(m.k.size()), m.text_recall.resize(m.k.size());
  const dim deepest = *std::max_element(m.k.begin(), m.k.end());
  auto count = [&](std::span<const dim> best, auto&& hit, std::vector<double>& recall, dim of) {
    std::size_t rank = 0;
    while (rank < best.size() && !hit(best[rank])) ++rank;
    for (std::size_t i = 0; i < m.k.size(); ++i)
      if (rank < best.size() && static_cast<dim>(rank) < m.k[i]) recall[i] += 1.0 / static_cast<double>(of);
  };
  for (dim t = 0; t < texts; ++t) {
    const auto best = top_k(cosines.subspan(static_cast<std::size_t>(t * images), static_cast<std::size_t>(images)), deepest);
    count(
        best, [&](dim i) { return i == image_of[static_cast<std::size_t>(t)]; }, m.image_recall, texts);
  }
  std::vector<A> column(static_cast<std::size_t>(texts));
  for (dim i = 0; i < images; ++i) {
    for (dim t = 0; t < texts; ++t) column[static_cast<std::size_t>(t)] = cosines[static_cast<std::size_t>(t * images + i)];
    const auto best = top_k(std::span<const A>(column), deepest);
    count(
        best, [&](dim t) { return image_of[static_cast<std::size_t>(t)] == i; }, m.text_recall, images);
  }
  return m;
}

}  // namespace clipx
