#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "evaluate.hpp"

namespace clipx {
namespace detail {

/// Calls f(batch, rows) with the embeddings of each batch of a data set.
CLIPX_INLINE void for_each_encoded(const any_model& model, const image_dataset& data, const encode_options& options,
                                   observer& watch, encoded_sink f) {
  report(watch, "images", 0, static_cast<std::size_t>(data.size()));
  const auto images = [&](function_ref<void(image_source)> next) { data.for_each_image(next); };
  const auto count = [&](const image_batch& batch, const any_rows& rows) {
    f(batch, rows);
    report(watch, "images", batch.indices.back() + 1, static_cast<std::size_t>(data.size()));
  };
  const auto failed = [](std::size_t, const std::string&, const error& why) { throw why; };
  clipx::for_each_encoded(model, image_stream(images), options, count, failed);
}

}  // namespace detail

CLIPX_INLINE zero_shot_report evaluate_zero_shot(const any_model& model, const image_dataset& data, const prompt_set& prompts,
                                                 const encode_options& options, observer& watch) {
  const auto classes = model.keep_classes(prompts, watch);
  zero_shot_counter counter(classes.rows());
  zero_shot_report out;
  detail::for_each_encoded(model, data, options, watch, [&](const image_batch& batch, const any_rows& rows) {
    const auto labels = std::span(data.labels()).subspan(batch.indices.front(), batch.indices.size());
    const auto before = counter.ties().size();
    std::visit([&]<class A>(const std::vector<A>& scores) { counter.add(std::span<const A>(scores), labels); },
               model.scores(rows, classes).values);
    for (dim tie : counter.ties().subspan(before))
      out.ties.push_back(batch.names[static_cast<std::size_t>(tie) - batch.indices.front()]);
  });
  out.metrics = counter.metrics();
  return out;
}

CLIPX_INLINE retrieval_metrics evaluate_retrieval(const any_model& model, const image_dataset& data, const encode_options& options,
                                                  observer& watch) {
  any_rows images;
  detail::for_each_encoded(model, data, options, watch, [&](const image_batch&, const any_rows& rows) { images.append(rows); });
  const auto kept = model.keep(images);
  images = {};
  retrieval_counter counter(data.image_of(), data.size());
  const std::span captions(data.captions());
  constexpr std::size_t at_once = 256;
  report(watch, "texts", 0, captions.size());
  for (std::size_t from = 0; from < captions.size(); from += at_once) {
    const auto part = captions.subspan(from, std::min(at_once, captions.size() - from));
    std::visit([&]<class A>(const std::vector<A>& scores) { counter.add(std::span<const A>(scores)); },
               model.text_scores(part, kept).values);
    report(watch, "texts", from + part.size(), captions.size());
  }
  return counter.metrics();
}

CLIPX_INLINE double tagging_metrics::by_length::perplexity() const {
  return words ? std::exp(-log_p / static_cast<double>(words)) : 0;
}

namespace detail {
/// Counts the captions of an image.
class tagging_counter {
 public:
  tagging_counter(const ngram_dictionary& d, tagging_metrics& m) : d_(d), m_(m) {
    m.recall.resize(m.k.size());
    m.calibrated_recall.resize(m.k.size());
  }
  void add(const std::string& caption, const ngram_tags& tags, const ngram_tags& calibrated, double log_p) {
    std::vector<std::int32_t> ids;
    d_.append(ngram_words(caption), ids);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (!ids.empty() && ids.back() == d_.unknown()) ids.pop_back();
    if (!ids.empty()) {
      ++m_.captions;
      count(ids, tags, m_.recall);
      count(ids, calibrated, m_.calibrated_recall);
    }
    if (!std::isfinite(log_p)) return;
    ids.clear();
    d_.append_caption(caption, ids);
    dim words = 0, known = 0;
    for (auto id : ids) {
      const bool is_word = id == d_.unknown() || d_.order(id) == 1;
      words += is_word;
      known += is_word && id != d_.unknown();
    }
    for (auto* to : {&m_.lengths[std::min<dim>(words, 20)], &m_.all}) {
      ++to->captions;
      to->words += known;
      to->log_p += log_p;
    }
  }
  void finish() {
    for (auto* list : {&m_.recall, &m_.calibrated_recall})
      for (double& v : *list) v = m_.captions ? v / static_cast<double>(m_.captions) : 0;
  }

 private:
  void count(const std::vector<std::int32_t>& own, const ngram_tags& tags, std::vector<double>& recall) const {
    for (std::size_t i = 0; i < m_.k.size(); ++i) {
      double found = 0;
      for (std::size_t t = 0; t < tags.size() && static_cast<dim>(t) < m_.k[i]; ++t)
        found += std::binary_search(own.begin(), own.end(), tags[t].first);
      recall[i] += found / static_cast<double>(own.size());
    }
  }
  const ngram_dictionary& d_;
  tagging_metrics& m_;
};
}  // namespace detail

CLIPX_INLINE tagging_metrics evaluate_tagging(const any_model& model, const image_dataset& data, const encode_options& options,
                                              observer& watch) {
  const auto* dictionary = model.source().text().ngrams();
  expect(dictionary != nullptr, error_kind::unsupported,
         "tagging: expected a Visual N-Grams model, which has a dictionary, got one with a text tower");
  tagging_metrics out;
  detail::tagging_counter counter(*dictionary, out);
  std::size_t next = 0;  // index of the next caption
  const auto& captions = data.captions();
  const dim deepest = *std::max_element(out.k.begin(), out.k.end());
  detail::for_each_encoded(model, data, options, watch, [&](const image_batch& batch, const any_rows& rows) {
    const auto tags = model.tags(rows, deepest), calibrated = model.tags(rows, deepest, true);
    const auto first = static_cast<dim>(batch.indices.front()), end = first + static_cast<dim>(batch.indices.size());
    std::size_t last = next;
    while (last < captions.size() && data.image_of()[last] < end) ++last;
    const auto log_p = model.caption_log_probabilities(std::span(captions).subspan(next, last - next), model.keep(rows));
    for (std::size_t c = next; c < last; ++c) {
      const auto image = static_cast<std::size_t>(data.image_of()[c] - first);
      const double own = std::visit(
          [&](const auto& v) { return static_cast<double>(v[(c - next) * batch.indices.size() + image]); }, log_p.values);
      counter.add(captions[c], tags[image], calibrated[image], own);
    }
    next = last;
  });
  counter.finish();
  return out;
}

}  // namespace clipx
