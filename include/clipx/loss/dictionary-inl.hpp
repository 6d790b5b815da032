// Definitions of dictionary.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>

#include "dictionary.hpp"

namespace clipx {

CLIPX_INLINE dim ngram_loss_config::size() const { return std::accumulate(orders.begin(), orders.end(), dim{0}); }
CLIPX_INLINE dim ngram_loss_config::order(std::int32_t id) const {
  dim n = 0;
  for (dim end = 0; n < static_cast<dim>(orders.size()); ++n)
    if (id < (end += orders[static_cast<std::size_t>(n)])) break;
  return n + 1;
}

CLIPX_INLINE void ngram_terms::add(dim image, std::int32_t ngram, double log_weight) {
  images.push_back(static_cast<std::int32_t>(image));  // of the term, until finish()
  ngrams.push_back(ngram);
  log_weights.push_back(log_weight);
  mixtures.push_back(static_cast<std::int32_t>(mixture_count()));
}

CLIPX_INLINE void ngram_terms::end_mixture(dim image) {
  const auto terms = static_cast<std::int32_t>(log_weights.size());
  if (terms == first_of_mixture.back()) return;
  first_of_mixture.push_back(terms);
  counts.resize(std::max(counts.size(), static_cast<std::size_t>(image) + 1));
  counts[static_cast<std::size_t>(image)] += 1;
}

CLIPX_INLINE void ngram_terms::finish(dim images_in_all) {
  counts.resize(static_cast<std::size_t>(images_in_all));
  const auto image_of_term = std::exchange(images, {});
  const auto ngram_of_term = std::exchange(ngrams, {});
  const auto at = [](auto& list, std::int32_t i) -> auto& { return list[static_cast<std::size_t>(i)]; };
  terms_by_entry.resize(log_weights.size());
  std::iota(terms_by_entry.begin(), terms_by_entry.end(), 0);
  std::sort(terms_by_entry.begin(), terms_by_entry.end(), [&](std::int32_t a, std::int32_t b) {
    const auto key = [&](std::int32_t t) { return std::tuple(at(ngram_of_term, t), at(image_of_term, t), t); };
    return key(a) < key(b);
  });
  entries.resize(log_weights.size());
  for (std::size_t k = 0; k < terms_by_entry.size(); ++k) {
    const auto t = terms_by_entry[k];
    if (k == 0 || at(ngram_of_term, t) != ngrams.back() || at(image_of_term, t) != images.back()) {
      ngrams.push_back(at(ngram_of_term, t));
      images.push_back(at(image_of_term, t));
      first_of_entry.push_back(static_cast<std::int32_t>(k));
    }
    at(entries, t) = static_cast<std::int32_t>(ngrams.size()) - 1;
  }
  first_of_entry.push_back(static_cast<std::int32_t>(terms_by_entry.size()));
}

namespace detail {
/// Calls word(image, index of the word in its caption, ids: the unigram, then the longer n-grams that end with it) for every word.
CLIPX_INLINE void for_each_word(const packed_texts& captions, const ngram_loss_config& c,
                                function_ref<void(dim, dim, std::span<const std::int32_t>)> word) {
  std::size_t at = 0;
  for (dim i = 0; i < captions.count(); ++i) {
    const std::size_t end = at + static_cast<std::size_t>(captions.lengths[static_cast<std::size_t>(i)]);
    for (dim place = 0; at < end; ++place) {
      std::size_t next = at + 1;
      while (next < end && captions.ids[next] < c.size() && c.order(captions.ids[next]) > 1) ++next;
      word(i, place, std::span(captions.ids).subspan(at, next - at));
      at = next;
    }
  }
}
}  // namespace detail

CLIPX_INLINE double jelinek_mercer_weight(dim k, dim longest, double lambda) {
  return static_cast<double>(longest - k) * std::log1p(-lambda) + (k > 1 ? std::log(lambda) : 0);
}

CLIPX_INLINE ngram_terms naive_terms(const packed_texts& captions, const ngram_loss_config& c) {
  ngram_terms out;
  detail::for_each_word(captions, c, [&](dim image, dim, std::span<const std::int32_t> ids) {
    for (auto id : ids)
      if (id < c.size()) {
        out.add(image, id, 0);
        out.end_mixture(image);
      }
  });
  out.finish(captions.count());
  return out;
}

CLIPX_INLINE ngram_terms jelinek_mercer_terms(const packed_texts& captions, const ngram_loss_config& c) {
  ngram_terms out;
  detail::for_each_word(captions, c, [&](dim image, dim place, std::span<const std::int32_t> ids) {
    if (ids[0] >= c.size()) return;  // the unigram is not in the dictionary: the probability is 0
    const dim longest = std::min<dim>(place + 1, static_cast<dim>(c.orders.size()));
    for (auto id : ids) {
      const dim k = c.order(id);
      out.add(image, id, jelinek_mercer_weight(k, longest, c.lambda));
    }
    out.end_mixture(image);
  });
  out.finish(captions.count());
  return out;
}

CLIPX_INLINE ngram_terms caption_terms(const packed_texts& captions, const ngram_loss_config& c) {
  return c.smoothing == ngram_smoothing::none ? naive_terms(captions, c) : jelinek_mercer_terms(captions, c);
}

}  // namespace clipx
