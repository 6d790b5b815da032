// any_model over a backend: each unit that includes this compiles the towers for the device types that it names. load_any.hpp alone
// is enough for the device types in the compiled targets.
#pragma once
#include <algorithm>
#include <memory>
#include <type_traits>
#include <utility>

#include "../checkpoint/pretrained.hpp"
#include "../zero_shot/classifier.hpp"
#include "../zero_shot/retrieval.hpp"
#include "any_model.hpp"
#include "load_any.hpp"
#include "ngram_scores.hpp"

namespace clipx {

namespace detail {

template <backend B>
struct rows_on final : device_rows::held {
  buffer<accum_t<B>> memory;  // (rows, cols)
  ngram_texts texts;          // of a Visual N-Grams model's classes, scored instead of the rows
  std::vector<dim> class_of;  // the class of each text
};

/// The towers of a pretrained model, or of one in training.
template <class Model>
const auto& towers_of(const Model& model) {
  if constexpr (requires { model.model().towers; }) return model.model().towers;
  else return model.model();
}

/// What any_model does on a device whatever the architecture: compiled once for each device type. The device is not owned.
template <backend B>
class any_model_on : public any_model::implementation {
 public:
  using A = accum_t<B>;
  any_model_on(B& device, const checkpoint& source) : device_(device), source_(source) {}

  const checkpoint& source() const override { return source_; }
  device_rows keep(const any_rows& rows) const override { return upload(own(rows), rows.cols); }
  device_rows keep_classes(const prompt_set& prompts, observer& watch) const override {
    expect_prompts(prompts);
    return table() ? keep_phrases(prompts) : keep_prompts(prompts, watch);
  }

  any_rows scores(const any_rows& rows, const device_rows& kept) const override {
    expect(kept.get().owner == this, error_kind::mismatch, "scores: expected rows that this model keeps, got those of another");
    const auto& y = static_cast<const rows_on<B>&>(kept.get());
    expect(rows.cols == y.cols || rows.rows() == 0, error_kind::mismatch,
           [&] { return cat("scores: expected rows of ", y.cols, " values, as the kept ones have, got ", rows.cols); });
    step<B> s(device_);
    if (!y.class_of.empty()) return class_scores(s, rows, y);
    return {
        detail::cosines(s, mat<const A>(own(rows).data(), rows.rows(), rows.cols), mat<const A>(y.memory.as_mat(y.rows, y.cols))),
        y.rows};
  }
  any_rows text_scores(std::span<const std::string> texts, const device_rows& kept) const override {
    return table() ? caption_scores(texts, kept, true) : scores(encode_text(texts), kept);
  }
  any_rows caption_log_probabilities(std::span<const std::string> captions, const device_rows& kept) const override {
    expect(bool(table()), error_kind::unsupported,
           "caption_log_probabilities: expected a Visual N-Grams model, got one with a text tower");
    return caption_scores(captions, kept, false);
  }
  std::vector<ngram_tags> tags(const any_rows& images, dim k, bool calibrated) const override {
    expect(bool(table()), error_kind::unsupported,
           "tags: expected a Visual N-Grams model, which has a dictionary, got one with a text tower");
    step<B> s(device_);
    const auto& d = dictionary();
    std::vector<double> subtract;
    for (std::int32_t w = 0; w < d.unknown(); ++w) {
      const bool is_frame = d.words(w).find('[') != std::string_view::npos;  // [BEGIN] and [END] are not tags
      subtract.push_back(is_frame ? std::numeric_limits<double>::infinity() : calibrated ? d.log_frequency(w) : 0);
    }
    return image_tags<B>(s, table(), on_device(s, images), subtract, k);
  }
  std::vector<std::pair<dim, double>> rank(const any_rows& scores, dim row) const override {
    const auto& values = own(scores);
    expect(row >= 0 && row < scores.rows(),
           [&] { return cat("rank: expected a row from 0 to ", scores.rows() - 1, ", got ", row); });
    return clipx::rank(
        std::span(values).subspan(static_cast<std::size_t>(row * scores.cols), static_cast<std::size_t>(scores.cols)),
        this->score());
  }

  model_memory memory() const override { return {bytes(), device_.memory().peak(), device_.memory().capacity()}; }
  resampler image_resampler() const override { return resampler_of<B>(); }
  std::vector<std::string> warnings() const override {
    if constexpr (requires { device_.warnings(); }) return device_.warnings();
    else return {};
  }

 protected:
  using T = scalar_t<B>;
  virtual mat<const T> table() const = 0;  // of a Visual N-Grams model, which has no text tower; null for others
  virtual dim bytes() const = 0;           // of the weights
  static any_rows any(embeddings<A> rows) { return {std::move(rows.values), rows.cols}; }

 private:
  device_rows keep_prompts(const prompt_set& prompts, observer& watch) const {
    std::size_t total = 0, done = 0;
    for (text_windows window(prompts); window.next(); total += window.texts.size())
      expect(!watch.cancelled(), error_kind::cancelled, "cancelled after 0 texts");
    report(watch, "texts", 0, total);
    const auto encode = [&](std::span<const std::string> texts) {
      embeddings<double> all;
      for (std::size_t from = 0; from < texts.size();) {
        const auto part = this->encode_text(texts.subspan(from, std::min<std::size_t>(256, texts.size() - from)));
        all.cols = part.cols;
        all.values.insert(all.values.end(), own(part).begin(), own(part).end());
        from += static_cast<std::size_t>(part.rows());
        report(watch, "texts", done += static_cast<std::size_t>(part.rows()), total);
      }
      return all;
    };
    auto out = std::make_unique<rows_on<B>>();
    out->owner = this;
    out->rows = static_cast<dim>(prompts.prompts.size());
    std::vector<A> weights;  // of classes that are complete and not yet on the device
    dim there = 0;           // classes on the device
    const auto flush = [&] {
      if (weights.empty()) return;
      const device_use<B> use(device_);
      if (there == 0) out->memory = device_.template alloc<A>(out->rows * out->cols);
      const dim n = static_cast<dim>(weights.size()) / out->cols;
      device_.upload(mat<const A>(weights.data(), n, out->cols), out->memory.as_mat(out->rows, out->cols).row_range(there, n));
      device_.sync();
      there += n;
      weights.clear();
    };
    for_each_class_row(prompts, encode, [&](std::span<const double> row) {
      out->cols = static_cast<dim>(row.size());
      for (double w : row) weights.push_back(static_cast<A>(w));
      if (weights.size() >= std::size_t{1} << 20) flush();
    });
    flush();
    return device_rows(std::move(out));
  }

  // For a Visual N-Grams model.
  const ngram_loss_config& loss() const { return source_.config().loss.template as<ngrams::config>(); }
  const ngram_dictionary& dictionary() const {
    const auto* d = source_.text().ngrams();
    expect(d != nullptr, error_kind::mismatch,
           "a Visual N-Grams model: expected its dictionary, ngrams.tsv, got another tokenizer");
    expect(d->orders() == loss().orders, error_kind::mismatch,
           "a Visual N-Grams model: ngram_orders in its configuration are not the numbers of n-grams of each length in its "
           "dictionary");
    return *d;
  }
  mat<const A> on_device(step<B>& s, const any_rows& rows) const {
    auto m = s.make_accum(rows.rows(), rows.cols);
    device_.upload(mat<const A>(own(rows).data(), m.rows, m.cols), m);
    return m;
  }
  /// The texts of a class are phrases for the same thing; the most probable one counts.
  device_rows keep_phrases(const prompt_set& prompts) const {
    auto out = std::make_unique<rows_on<B>>();
    std::vector<std::string> phrases;
    for (std::size_t c = 0; c < prompts.prompts.size(); ++c)
      for (auto& text : prompts.prompts[c]) {
        phrases.push_back(text);
        out->class_of.push_back(static_cast<dim>(c));
      }
    out->texts = phrase_texts(phrases, dictionary(), loss());
    expect(phrases.empty() || out->texts.terms.mixture_count() > 0, [&] {
      return cat("expected labels whose last word is in the model's dictionary, got none among ", phrases.size(),
                 ", the first is \"", phrases[0], "\"");
    });
    out->owner = this;
    out->rows = static_cast<dim>(prompts.classes.size());
    out->cols = source_.config().embed_dim + 1;
    return device_rows(std::move(out));
  }
  any_rows caption_scores(std::span<const std::string> texts, const device_rows& kept, bool calibrated) const {
    expect(kept.get().owner == this, error_kind::mismatch,
           "text_scores: expected images that this model keeps, got those of another");
    const auto& y = static_cast<const rows_on<B>&>(kept.get());
    step<B> s(device_);
    const auto captions = caption_texts(texts, dictionary(), loss());
    return {detail::text_scores<B>(s, captions, table(), y.memory.as_mat(y.rows, y.cols), calibrated), y.rows};
  }
  any_rows class_scores(step<B>& s, const any_rows& rows, const rows_on<B>& classes) const {
    const dim N = rows.rows(), C = classes.rows;
    const auto of_texts = detail::text_scores<B>(s, classes.texts, table(), on_device(s, rows), false);  // (texts, N)
    std::vector<A> best(static_cast<std::size_t>(N * C), -std::numeric_limits<A>::infinity());
    for (dim t = 0; t < classes.texts.count; ++t)
      for (dim i = 0; i < N; ++i) {
        A& score = best[static_cast<std::size_t>(i * C + classes.class_of[static_cast<std::size_t>(t)])];
        score = std::max(score, of_texts[static_cast<std::size_t>(t * N + i)]);
      }
    return {std::move(best), C};
  }

  static const std::vector<A>& own(const any_rows& rows) {
    const auto* values = std::get_if<std::vector<A>>(&rows.values);
    expect(values != nullptr, error_kind::mismatch,
           "any_model: expected rows in its own precision, float or double, got those of a model in the other");
    const auto n = static_cast<dim>(values->size());
    expect(rows.cols > 0 ? n % rows.cols == 0 : n == 0,
           [&] { return cat("any_model: expected whole rows of ", rows.cols, " values, got ", n, " values"); });
    return *values;
  }
  device_rows upload(const std::vector<A>& values, dim cols) const {
    const device_use<B> use(device_);
    auto out = std::make_unique<rows_on<B>>();
    out->owner = this;
    out->rows = cols ? static_cast<dim>(values.size()) / cols : 0;
    out->cols = cols;
    out->memory = device_.template alloc<A>(out->rows * cols);
    device_.upload(mat<const A>(values.data(), out->rows, cols), out->memory.as_mat(out->rows, cols));
    device_.sync();
    return device_rows(std::move(out));
  }

  B& device_;
  const checkpoint& source_;
};

/// The model has the functions of pretrained and is not owned.
template <class Model, backend B>
class any_model_over : public any_model_on<B> {
 public:
  any_model_over(B& device, const Model& model, const checkpoint& source) : any_model_on<B>(device, source), model_(model) {}
  any_rows encode_pixels(std::span<const std::uint8_t> rgb) const override { return this->any(model_.encode_pixels(rgb)); }
  any_rows encode_text(std::span<const std::string> texts) const override { return this->any(model_.encode_text(texts)); }
  const scoring& score() const override { return model_.score(); }

 private:
  mat<const scalar_t<B>> table() const override {
    if constexpr (has_table<std::remove_cvref_t<decltype(towers_of(model_).text)>>) return towers_of(model_).text.table();
    else return {};
  }
  dim bytes() const override { return model_.bytes(); }

  const Model& model_;
};

template <class Architecture, backend B>
struct model_on_device {
  template <class... DeviceOptions>
  explicit model_on_device(checkpoint source, const DeviceOptions&... options)
      : device(options...), model(load<Architecture>(device, std::move(source))) {}
  B device;
  pretrained<Architecture, B> model;
};

template <class Architecture, backend B>
class any_model_of final : private model_on_device<Architecture, B>, public any_model_over<pretrained<Architecture, B>, B> {
 public:
  template <class... DeviceOptions>
  explicit any_model_of(checkpoint source, const DeviceOptions&... options)
      : model_on_device<Architecture, B>(std::move(source), options...),
        any_model_over<pretrained<Architecture, B>, B>(this->device, this->model, this->model.source()) {}
};

}  // namespace detail

/// An any_model over a model that the caller owns, a pretrained or one with its functions, and the checkpoint that describes it.
/// All three arguments must outlive the result.
template <class Model, backend B>
any_model borrow_any(B& device, const Model& model, const checkpoint& source) {
  return any_model(std::make_unique<detail::any_model_over<Model, B>>(device, model, source));
}

template <backend B, class... DeviceOptions>
any_model load_any(checkpoint source, const DeviceOptions&... options) {
  const auto config = source.config();
  return visit_architecture(config, [&]<class Architecture>(std::type_identity<Architecture>) {
    return any_model(std::make_unique<detail::any_model_of<Architecture, B>>(std::move(source), options...));
  });
}

}  // namespace clipx
