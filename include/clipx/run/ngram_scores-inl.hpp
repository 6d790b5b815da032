// Definitions of ngram_scores.hpp.
#pragma once
#include <cmath>
#include <numeric>

#include "ngram_scores.hpp"

namespace clipx {
namespace detail {

/// Sets the n-grams that the texts consist of, and the texts' priors.
CLIPX_INLINE ngram_texts finish_texts(ngram_terms terms, dim count, const ngram_dictionary& d) {
  ngram_texts out;
  out.terms = std::move(terms);
  out.count = count;
  for (auto id : out.terms.ngrams) {
    if (out.ngrams.empty() || out.ngrams.back() != id) out.ngrams.push_back(id);
    out.columns.push_back(static_cast<std::int32_t>(out.ngrams.size()) - 1);
  }
  std::vector<double> own;
  for (auto id : out.ngrams) own.push_back(d.log_frequency(id));
  out.prior.resize(static_cast<std::size_t>(count));
  out.log_probabilities(own, false, out.prior);
  return out;
}

}  // namespace detail

CLIPX_INLINE void ngram_texts::log_probabilities(std::span<const double> log_p, bool calibrated, std::span<double> out) const {
  constexpr double never = -std::numeric_limits<double>::infinity();
  std::vector<bool> known(out.size());
  std::fill(out.begin(), out.end(), 0.0);
  const auto at = [](const auto& list, auto i) { return list[static_cast<std::size_t>(i)]; };
  for (dim g = 0; g < terms.mixture_count(); ++g) {
    const std::int32_t first = at(terms.first_of_mixture, g), end = at(terms.first_of_mixture, g + 1);
    const auto exponent = [&](std::int32_t t) {
      return at(terms.log_weights, t) + log_p[static_cast<std::size_t>(at(columns, at(terms.entries, t)))];
    };
    double top = never, sum = 0;
    for (auto t = first; t < end; ++t) top = std::max(top, exponent(t));
    for (auto t = first; t < end; ++t) sum += std::exp(exponent(t) - top);
    const auto text = static_cast<std::size_t>(at(terms.images, at(terms.entries, first)));
    known[text] = true;
    out[text] += top + std::log(sum);
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (!known[i]) out[i] = never;
    else if (calibrated) out[i] -= prior[i];
  }
}

CLIPX_INLINE ngram_texts phrase_texts(std::span<const std::string> phrases, const ngram_dictionary& d, const ngram_loss_config& c) {
  ngram_terms terms;
  for (std::size_t p = 0; p < phrases.size(); ++p) {
    auto words = ngram_words(phrases[p]);
    if (const auto most = static_cast<std::size_t>(d.max_n()); words.size() > most)
      words.erase(words.begin(), words.end() - static_cast<std::ptrdiff_t>(most));
    std::vector<std::int32_t> ids;
    d.append(words, ids);
    // The n-grams of the last word: the unigram, then the longer n-grams that end with it.
    std::size_t last = ids.size();
    while (last > 0 && ids[--last] != d.unknown() && d.order(ids[last]) > 1) {}
    if (ids.empty() || ids[last] == d.unknown()) continue;
    const auto image = static_cast<dim>(p), longest = static_cast<dim>(words.size());
    if (c.smoothing == ngram_smoothing::none) {
      terms.add(image, ids.back(), static_cast<double>(longest - d.order(ids.back())) * std::log(c.lambda));
    } else {
      for (std::size_t k = last; k < ids.size(); ++k)
        terms.add(image, ids[k], jelinek_mercer_weight(d.order(ids[k]), longest, c.lambda));
    }
    terms.end_mixture(image);
  }
  const auto count = static_cast<dim>(phrases.size());
  terms.finish(count);
  return detail::finish_texts(std::move(terms), count, d);
}

CLIPX_INLINE ngram_texts caption_texts(std::span<const std::string> captions, const ngram_dictionary& d,
                                       const ngram_loss_config& c) {
  packed_texts packed;
  for (auto& caption : captions) {
    const auto before = packed.ids.size();
    d.append_caption(caption, packed.ids);
    packed.lengths.push_back(static_cast<std::int32_t>(packed.ids.size() - before));
  }
  return detail::finish_texts(caption_terms(packed, c), packed.count(), d);
}

}  // namespace clipx
