// How well pictures and their captions find each other, among held-out pairs.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "retrieval.hpp"

namespace clipx {

struct pair_metrics {
  dim pairs = 0;
  double loss = 0;  // symmetric contrastive, or the sigmoid's; the mean over blocks
  std::vector<dim> k{1, 5, 10};
  std::vector<double> image_recall, text_recall;  // text -> image, image -> text, at each k
};

/// cosines (N, N): picture i with caption j, pair i on the diagonal. Equal captions are one text: a picture is found by its caption
/// where any picture with that caption is among the first k. The loss is that of blocks of `block` pairs, as in training; with a
/// bias the sigmoid loss.
template <class A>
pair_metrics evaluate_pairs(std::span<const A> cosines, std::span<const std::string> captions, double log_scale, dim block,
                            std::optional<double> bias = {}) {
  const dim N = static_cast<dim>(captions.size());
  expect(N > 0 && static_cast<dim>(cosines.size()) == N * N,
         [&] { return cat("pairs: expected ", N, " x ", N, " cosines for ", N, " captions, got ", cosines.size()); });
  const auto at = [&](dim i, dim j) { return static_cast<double>(cosines[static_cast<std::size_t>(i * N + j)]); };
  pair_metrics m;
  m.pairs = N;
  const double s = std::exp(log_scale);
  for (dim from = 0; from < N; from += block) {
    const dim to = std::min(N, from + block);
    for (dim i = from; bias && i < to; ++i)
      for (dim j = from; j < to; ++j) {  // -log sigma(z S) = log(1 + exp(-z S)), whatever the sign
        const double x = (i == j ? -1 : 1) * (s * at(i, j) + *bias);
        m.loss += (std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)))) / static_cast<double>(N);
      }
    for (dim i = from; !bias && i < to; ++i) {
      double rows = 0, columns = 0;  // cosines lie in [-1, 1], so these cannot overflow at a scale of 100
      for (dim j = from; j < to; ++j) rows += std::exp(s * (at(i, j) - 1)), columns += std::exp(s * (at(j, i) - 1));
      m.loss += (std::log(rows) + std::log(columns) - 2 * s * (at(i, i) - 1)) / static_cast<double>(2 * N);
    }
  }
  std::map<std::string, dim> first;  // of each text, the pair that stands for it
  std::vector<dim> text_of, texts;
  for (dim i = 0; i < N; ++i) {
    const auto [place, added] = first.emplace(captions[static_cast<std::size_t>(i)], static_cast<dim>(texts.size()));
    if (added) texts.push_back(i);
    text_of.push_back(place->second);
  }
  m.image_recall.resize(m.k.size()), m.text_recall.resize(m.k.size());
  const auto count = [&](dim rank, std::vector<double>& recall, dim of) {
    for (std::size_t k = 0; k < m.k.size(); ++k) recall[k] += rank < m.k[k] ? 1.0 / static_cast<double>(of) : 0;
  };
  for (dim i = 0; i < N; ++i) {  // image -> text
    const double own = at(i, texts[static_cast<std::size_t>(text_of[static_cast<std::size_t>(i)])]);
    dim better = 0;
    for (dim j : texts) better += at(i, j) > own;
    count(better, m.text_recall, N);
  }
  for (dim t = 0; t < static_cast<dim>(texts.size()); ++t) {  // text -> image
    const dim j = texts[static_cast<std::size_t>(t)];
    double best = -2;
    for (dim i = 0; i < N; ++i)
      if (text_of[static_cast<std::size_t>(i)] == t) best = std::max(best, at(i, j));
    dim better = 0;
    for (dim i = 0; i < N; ++i) better += at(i, j) > best;
    count(better, m.image_recall, static_cast<dim>(texts.size()));
  }
  return m;
}

}  // namespace clipx
