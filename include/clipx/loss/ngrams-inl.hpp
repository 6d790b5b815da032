// Definitions of ngrams.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "ngrams.hpp"

namespace clipx {

CLIPX_INLINE ngrams::config ngrams::read(fields& model) {
  config c;
  const auto name = model.text("ngram_loss", "");
  if (name != "naive" && name != "jelinek-mercer")
    model.issue(cat("ngram_loss: expected naive or jelinek-mercer, got ", model.dump("ngram_loss")));
  c.smoothing = name == "naive" ? ngram_smoothing::none : ngram_smoothing::jelinek_mercer;
  const dim n = model.size("ngram_max_n", 1, 64);
  c.orders = model.sizes("ngram_orders", static_cast<std::size_t>(n), (dim{1} << 31) - 2);
  c.lambda = model.number("ngram_lambda", c.lambda);
  c.batch_only = model.flag("ngram_batch_only", false);
  if (!(c.lambda > 0 && c.lambda < 1))
    model.issue(error_kind::damaged, cat("ngram_lambda: expected a number between 0 and 1, got ", c.lambda));
  return c;
}

CLIPX_INLINE void ngrams::write(const config& c, field_writer& model) {
  expect(!c.orders.empty(), "n-gram loss: expected the number of n-grams of each length, got none");
  expect(c.lambda > 0 && c.lambda < 1, [&] { return cat("n-gram loss: expected a lambda between 0 and 1, got ", c.lambda); });
  model.put("ngram_loss", c.smoothing == ngram_smoothing::none ? "naive" : "jelinek-mercer");
  model.put("ngram_max_n", static_cast<dim>(c.orders.size()));
  model.put("ngram_orders", c.orders);
  model.put("ngram_lambda", c.lambda);
  model.put("ngram_batch_only", c.batch_only);
}

CLIPX_INLINE void ngrams::score(std::span<double> log_p, std::span<const double>) {
  if (log_p.empty()) return;
  const double largest = *std::max_element(log_p.begin(), log_p.end());
  if (std::isinf(largest)) {  // no label has a word that is in the dictionary
    std::fill(log_p.begin(), log_p.end(), 1.0 / static_cast<double>(log_p.size()));
    return;
  }
  for (double& p : log_p) p = std::exp(p - largest);
  std::vector<double> descending(log_p.begin(), log_p.end());  // summed in descending order, so that the order of the labels does
                                                               // not matter
  std::sort(descending.begin(), descending.end(), std::greater<double>());
  const double sum = std::accumulate(descending.begin(), descending.end(), 0.0);
  for (double& p : log_p) p /= sum;
}

CLIPX_INLINE void ngrams::add_pair_loss(cosine_at log_p, dim n, dim N, std::span<const double>, double& mean) {
  for (dim i = 0; i < n; ++i) mean -= log_p(i, i) / static_cast<double>(N);
}

}  // namespace clipx
