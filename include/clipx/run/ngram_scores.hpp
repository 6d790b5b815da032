// Scores of a Visual N-Grams model (Li et al. 2017, section 3.4; docs/clip.md section 12): log-probabilities of phrases and
// captions, from an image's row [features, -log Z] and n-grams' rows [e_w, 1], whose product is log p_obs(w | image).
#pragma once
#include <algorithm>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../checkpoint/embeddings.hpp"
#include "../loss/ngrams.hpp"
#include "../text/ngrams.hpp"
#include "../zero_shot/retrieval.hpp"

namespace clipx {

/// Texts as mixtures of n-grams (ngram_terms, with texts instead of images), and the n-grams that occur in them.
struct ngram_texts {
  ngram_terms terms;                  // the mixtures of each text
  std::vector<std::int32_t> ngrams;   // distinct and ascending: the columns of the scores
  std::vector<std::int32_t> columns;  // for each entry of `terms`, its index in `ngrams`
  std::vector<double> prior;          // for each text, its log-probability without an image, from the dictionary's counts
  dim count = 0;                      // number of texts

  /// log p of each text for an image whose log p_obs of the n-grams are `log_p`; if calibrated, minus the prior. Minus infinity for
  /// a text without a known word.
  void log_probabilities(std::span<const double> log_p, bool calibrated, std::span<double> out) const;
};

/// Phrases, each by the n-gram of its last max_n() words: p(w_1..w_m | image), smoothed as in the model, or by stupid back-off.
ngram_texts phrase_texts(std::span<const std::string> phrases, const ngram_dictionary& d, const ngram_loss_config& c);
/// Captions as in training: the sum of the log-probabilities of their words, or of their n-grams.
ngram_texts caption_texts(std::span<const std::string> captions, const ngram_dictionary& d, const ngram_loss_config& c);

namespace detail {

/// Rows [e_w, 1], (U, D + 1), of some n-grams, on the device.
template <backend_types B>
mat<accum_t<B>> ngram_rows(step<B>& s, mat<const scalar_t<B>> table, std::span<const std::int32_t> ngrams) {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  auto rows = s.make_accum(static_cast<dim>(ngrams.size()), table.cols + 1);  // (U, D + 1)
  scratch<B> here(s);
  auto picked = s.make(rows.rows, table.cols);  // (U, D)
  s.device.gather_rows(table, s.ids(ngrams), picked);
  s.device.copy(mat<const T>(picked), rows.col_range(0, table.cols));
  s.device.fill(rows.col_range(table.cols, 1), A(1));
  return rows;
}

/// Log-probabilities (texts, images) of texts for images whose rows [features, -log Z] are on the device.
template <backend B>
std::vector<accum_t<B>> text_scores(step<B>& s, const ngram_texts& texts, mat<const scalar_t<B>> table,
                                    mat<const accum_t<B>> images, bool calibrated) {
  using A = accum_t<B>;
  const dim U = static_cast<dim>(texts.ngrams.size()), N = images.rows;
  std::vector<double> log_p(static_cast<std::size_t>(N * U)), of_image(static_cast<std::size_t>(texts.count));
  if (U > 0) {
    auto logits = s.make_accum(N, U);  // (N, U)
    similarity(s, images, mat<const A>(ngram_rows<B>(s, table, texts.ngrams)), logits);
    s.device.download(mat<const A>(logits), mat<double>(log_p.data(), N, U));
    s.device.sync();
  }
  std::vector<A> out(static_cast<std::size_t>(texts.count * N));
  for (dim i = 0; i < N; ++i) {
    texts.log_probabilities(std::span(log_p).subspan(static_cast<std::size_t>(i * U), static_cast<std::size_t>(U)), calibrated,
                            of_image);
    for (dim t = 0; t < texts.count; ++t)
      out[static_cast<std::size_t>(t * N + i)] = static_cast<A>(of_image[static_cast<std::size_t>(t)]);
  }
  return out;
}

/// The k n-grams of each image with the largest log p_obs - subtract[id], as (id, score) in descending order; an n-gram with
/// subtract[id] = infinity is left out.
template <backend B>
std::vector<std::vector<std::pair<std::int32_t, double>>> image_tags(step<B>& s, mat<const scalar_t<B>> table,
                                                                     mat<const accum_t<B>> images, std::span<const double> subtract,
                                                                     dim k) {
  using A = accum_t<B>;
  const dim N = images.rows, V = table.rows, tile = std::min(V, std::max<dim>(1024, (dim{1} << 22) / N));
  std::vector<std::vector<std::pair<std::int32_t, double>>> best(static_cast<std::size_t>(N));
  std::vector<double> log_p(static_cast<std::size_t>(N * tile));
  for (dim j = 0; j < V; j += tile) {
    scratch<B> here(s);
    const dim m = std::min(tile, V - j);
    std::vector<std::int32_t> ids;
    for (dim w = j; w < j + m; ++w) ids.push_back(static_cast<std::int32_t>(w));
    auto logits = s.make_accum(N, m);  // (N, m)
    similarity(s, images, mat<const A>(ngram_rows<B>(s, table, ids)), logits);
    s.device.download(mat<const A>(logits), mat<double>(log_p.data(), N, m));
    s.device.sync();
    for (dim i = 0; i < N; ++i) {
      auto& own = best[static_cast<std::size_t>(i)];
      for (dim w = 0; w < m; ++w)
        if (const double less = subtract[static_cast<std::size_t>(j + w)]; std::isfinite(less))
          own.emplace_back(ids[static_cast<std::size_t>(w)], log_p[static_cast<std::size_t>(i * m + w)] - less);
      const auto end = own.begin() + std::min<dim>(k, static_cast<dim>(own.size()));
      std::partial_sort(own.begin(), end, own.end(), [](const auto& a, const auto& b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
      });
      own.erase(end, own.end());
    }
  }
  return best;
}

}  // namespace detail

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "ngram_scores-inl.hpp"
#endif
