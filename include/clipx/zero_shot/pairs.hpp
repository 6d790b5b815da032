// Recall and loss of images and their captions among held-out pairs.
#pragma once
#include <algorithm>
#include <map>
#include <string>

#include "retrieval.hpp"

namespace clipx {

/// The result for N pairs.
struct pair_metrics {
  dim pairs = 0;                                  // N
  double loss = 0;                                // the model's own loss; the mean over blocks
  std::vector<dim> k{1, 5, 10};                   // the ranks at which recall is measured
  std::vector<double> image_recall, text_recall;  // text -> image, image -> text, at each k
};

/// cosines (N, N): image i with caption j; matching pairs are on the diagonal. Equal captions count as one text: an image is found
/// by its caption if any image with that caption is among the first k. Ties go to the smaller index, as in top_k(), so a model that
/// gives all pairs the same score finds nothing; a score that is NaN ranks before all others. The loss is the model's own, over
/// blocks of `block` pairs, as in training.
template <class A>
pair_metrics evaluate_pairs(std::span<const A> cosines, std::span<const std::string> captions, const scoring& score, dim block) {
  const dim N = static_cast<dim>(captions.size());
  expect(N > 0 && static_cast<dim>(cosines.size()) == N * N,
         [&] { return cat("pairs: expected ", N, " x ", N, " cosines for ", N, " captions, got ", cosines.size()); });
  const auto at = [&](dim i, dim j) { return static_cast<double>(cosines[static_cast<std::size_t>(i * N + j)]); };
  pair_metrics m;
  m.pairs = N;
  for (dim from = 0; from < N; from += block) {
    const auto in_block = [&](dim i, dim j) { return at(from + i, from + j); };
    score.add_pair_loss(in_block, std::min(block, N - from), N, m.loss);
  }
  std::map<std::string, dim> first;  // for each text, the first pair that has it
  std::vector<dim> text_of, texts;
  for (dim i = 0; i < N; ++i) {
    const auto [place, added] = first.emplace(captions[static_cast<std::size_t>(i)], static_cast<dim>(texts.size()));
    if (added) texts.push_back(i);
    text_of.push_back(place->second);
  }
  const auto before = [](double x, dim a, double y, dim b) { return x != y ? !(x < y) : a < b; };
  recall_counter texts_found(m.k), images_found(m.k);
  for (dim i = 0; i < N; ++i) {  // image -> text
    const dim own = texts[static_cast<std::size_t>(text_of[static_cast<std::size_t>(i)])];
    dim rank = 0;
    for (dim j : texts) rank += before(at(i, j), j, at(i, own), own);
    texts_found.add(rank);
  }
  for (dim t = 0; t < static_cast<dim>(texts.size()); ++t) {  // text -> image
    const dim j = texts[static_cast<std::size_t>(t)];
    dim own = j;  // the best of the text's images
    for (dim i = 0; i < N; ++i)
      if (text_of[static_cast<std::size_t>(i)] == t && at(i, j) > at(own, j)) own = i;
    dim rank = 0;
    for (dim i = 0; i < N; ++i) rank += before(at(i, j), i, at(own, j), own);
    images_found.add(rank);
  }
  m.text_recall = texts_found.recall(N);
  m.image_recall = images_found.recall(static_cast<dim>(texts.size()));
  return m;
}

}  // namespace clipx
