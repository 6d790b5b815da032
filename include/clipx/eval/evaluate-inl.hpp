#pragma once
#include <algorithm>
#include <cmath>

#include "../core/error.hpp"
#include "evaluate.hpp"

namespace clipx {
namespace detail {

/// Calls f(batch, rows) with the embeddings of each batch of a data set; what cannot be read goes to `skipped`, which begins as the
/// data set's own. Error: no image can be read.
CLIPX_INLINE void for_each_encoded(const any_model& model, const image_dataset& data, const encode_options& options,
                                   observer& watch, left_out& skipped, encoded_sink f) {
  skipped = data.skipped();
  const auto all = static_cast<std::size_t>(data.size());
  report(watch, "images", 0, all);
  std::size_t read = 0, done = 0;
  const auto images = [&](function_ref<void(image_source)> next) { data.for_each_image(next); };
  const auto count = [&](const image_batch& batch, const any_rows& rows) {
    f(batch, rows);
    read += batch.indices.size();
    report(watch, "images", done = batch.indices.back() + 1, all);
  };
  const auto failed = [&](std::size_t, const std::string&, const error& why) { skipped.add_unreadable(why.what()); };
  clipx::for_each_encoded(model, image_stream(images), options, count, failed);
  expect(read > 0, error_kind::damaged, [&] { return "expected images that can be read, got none; " + skipped.text(); });
  if (done < all) report(watch, "images", all, all);  // the last ones could not be read
}

/// The labels of a batch's images.
inline std::vector<dim> labels_of(const image_dataset& data, const image_batch& batch) {
  std::vector<dim> out;
  for (auto i : batch.indices) out.push_back(data.labels()[i]);
  return out;
}

/// The captions of the images that could be read, and the place of each one's image among those.
struct read_captions {
  std::vector<std::string> captions;
  std::vector<dim> image_of;

  /// `images`: the indices of those that could be read, in ascending order.
  read_captions(const image_dataset& data, std::span<const std::size_t> images) {
    const auto& of = data.image_of();  // in ascending order, too
    for (std::size_t i = 0; i < images.size(); ++i) {
      const auto own = std::equal_range(of.begin(), of.end(), static_cast<dim>(images[i]));
      for (auto t = own.first; t != own.second; ++t) {
        captions.push_back(data.captions()[static_cast<std::size_t>(t - of.begin())]);
        image_of.push_back(static_cast<dim>(i));
      }
    }
  }
};

}  // namespace detail

CLIPX_INLINE zero_shot_report evaluate_zero_shot(const any_model& model, const image_dataset& data, const prompt_set& prompts,
                                                 const encode_options& options, observer& watch) {
  const auto classes = model.keep_classes(prompts, watch);
  zero_shot_counter counter(classes.rows());
  zero_shot_report out;
  std::size_t counted = 0;
  detail::for_each_encoded(model, data, options, watch, out.skipped, [&](const image_batch& batch, const any_rows& rows) {
    const auto labels = detail::labels_of(data, batch);
    const auto before = counter.ties().size();
    std::visit([&]<class A>(const std::vector<A>& scores) { counter.add(std::span<const A>(scores), std::span(labels)); },
               model.scores(rows, classes).values);
    for (dim tie : counter.ties().subspan(before)) out.ties.push_back(batch.names[static_cast<std::size_t>(tie) - counted]);
    counted += labels.size();
  });
  out.metrics = counter.metrics();
  return out;
}

CLIPX_INLINE retrieval_report evaluate_retrieval(const any_model& model, const image_dataset& data, const encode_options& options,
                                                 observer& watch) {
  retrieval_report out;
  any_rows images;
  std::vector<std::size_t> indices;
  detail::for_each_encoded(model, data, options, watch, out.skipped, [&](const image_batch& batch, const any_rows& rows) {
    images.append(rows);
    indices.insert(indices.end(), batch.indices.begin(), batch.indices.end());
  });
  const auto kept = model.keep(images);
  images = {};
  const detail::read_captions texts(data, indices);
  out.images = static_cast<dim>(indices.size());
  out.captions = static_cast<dim>(texts.captions.size());
  retrieval_counter counter(texts.image_of, out.images);
  const std::span captions(texts.captions);
  constexpr std::size_t at_once = 256;
  report(watch, "texts", 0, captions.size());
  for (std::size_t from = 0; from < captions.size(); from += at_once) {
    const auto part = captions.subspan(from, std::min(at_once, captions.size() - from));
    std::visit([&]<class A>(const std::vector<A>& scores) { counter.add(std::span<const A>(scores)); },
               model.text_scores(part, kept).values);
    report(watch, "texts", from + part.size(), captions.size());
  }
  static_cast<retrieval_metrics&>(out) = counter.metrics();
  return out;
}

CLIPX_INLINE double tagging_metrics::by_length::perplexity() const {
  return words ? std::exp(-log_p / static_cast<double>(words)) : 0;
}

namespace detail {
/// The captions of an image, counted.
class tagging_counter {
 public:
  tagging_counter(const ngram_dictionary& d, tagging_metrics& m)
      : d_(d), m_(m), recall_(m.k.size()), calibrated_recall_(m.k.size()) {}
  void add(const std::string& caption, const ngram_tags& tags, const ngram_tags& calibrated, double log_p) {
    std::vector<std::int32_t> ids;
    d_.append(ngram_words(caption), ids);
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    if (!ids.empty() && ids.back() == d_.unknown()) ids.pop_back();
    if (!ids.empty()) {
      ++m_.captions;
      count(ids, tags, recall_);
      count(ids, calibrated, calibrated_recall_);
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
    for (auto& sum : recall_) m_.recall.push_back(sum.mean());
    for (auto& sum : calibrated_recall_) m_.calibrated_recall.push_back(sum.mean());
  }

 private:
  void count(const std::vector<std::int32_t>& own, const ngram_tags& tags, std::vector<fraction_sum>& recall) const {
    for (std::size_t i = 0; i < m_.k.size(); ++i) {
      dim found = 0;
      for (std::size_t t = 0; t < tags.size() && static_cast<dim>(t) < m_.k[i]; ++t)
        found += std::binary_search(own.begin(), own.end(), tags[t].first);
      recall[i].add(found, static_cast<dim>(own.size()));
    }
  }
  const ngram_dictionary& d_;
  tagging_metrics& m_;
  std::vector<fraction_sum> recall_, calibrated_recall_;
};
}  // namespace detail

CLIPX_INLINE tagging_metrics evaluate_tagging(const any_model& model, const image_dataset& data, const encode_options& options,
                                              observer& watch) {
  const auto* dictionary = model.source().text().ngrams();
  expect(dictionary != nullptr, error_kind::unsupported,
         "tagging: expected a Visual N-Grams model, which has a dictionary, got one with a text tower");
  tagging_metrics out;
  detail::tagging_counter counter(*dictionary, out);
  const dim deepest = *std::max_element(out.k.begin(), out.k.end());
  detail::for_each_encoded(model, data, options, watch, out.skipped, [&](const image_batch& batch, const any_rows& rows) {
    const auto tags = model.tags(rows, deepest), calibrated = model.tags(rows, deepest, true);
    const detail::read_captions texts(data, batch.indices);
    const auto log_p = model.caption_log_probabilities(texts.captions, model.keep(rows));
    for (std::size_t c = 0; c < texts.captions.size(); ++c) {
      const auto image = static_cast<std::size_t>(texts.image_of[c]);
      const double own =
          std::visit([&](const auto& v) { return static_cast<double>(v[c * batch.indices.size() + image]); }, log_p.values);
      counter.add(texts.captions[c], tags[image], calibrated[image], own);
    }
    out.images += static_cast<dim>(batch.indices.size());
    out.all_captions += static_cast<dim>(texts.captions.size());
  });
  counter.finish();
  return out;
}

}  // namespace clipx
