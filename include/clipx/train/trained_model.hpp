// The model that a trainer has trained so far, ready to use on the trainer's own device, without writing it to disk.
#pragma once
#include <optional>

#include "../checkpoint/pretrained.hpp"
#include "../data/loader.hpp"
#include "../run/ngram_scores.hpp"
#include "../zero_shot/pairs.hpp"
#include "trainer.hpp"

namespace clipx {

/// The average of the weights if the trainer keeps one (a copy, with its own BatchNorm statistics: trainer::fit_average), else the
/// weights. Embeddings equal those of load() on what write_model() writes. The trainer must not step while this object exists,
/// because it freezes the weights.
template <class Architecture, backend B, class Loss>
class trained_model {
 public:
  using A = accum_t<B>;
  using model_type = typename trainer<Architecture, B, Loss>::model_type;  // towers and loss

  /// text: the model's tokenizer.
  trained_model(trainer<Architecture, B, Loss>& t, tokenizer text)
      : pixels_(t.config().pixels), text_(std::move(text)), score_(t.score()), frozen_(t.model().device()) {
    model_ = &t.model();
    if (t.options().optimizer.average > 0) {
      t.fit_average();
      t.optimizer().average(averaged_.emplace(t.model().zeros_like()).memory());
      model_ = &*averaged_;
      score_ = scoring_now(*model_);
    }
    bytes_ = detail::freeze(frozen_, parameters_of(model_->towers));
  }
  trained_model(const trained_model&) = delete;

  const model_type& model() const { return *model_; }  // the weights
  const scoring& score() const { return score_; }      // how the model scores
  const tokenizer& text() const { return text_; }      // as given
  /// Bytes of the towers' weights.
  dim bytes() const { return bytes_; }

  /// Images of the model's size, (N, n n 3) 8-bit RGB, to L2-normalized embeddings (N, D).
  embeddings<A> encode_pixels(std::span<const std::uint8_t> rgb) const {
    return embed_pixels(model_->towers, rgb, pixels_.mean, pixels_.std);
  }
  /// Rows of ids, as a tokenizer returns them, to L2-normalized embeddings (N, D).
  embeddings<A> encode_tokens(std::span<const std::vector<std::int32_t>> rows) const { return embed_tokens(model_->towers, rows); }
  /// Packed texts, to L2-normalized embeddings (N, D).
  embeddings<A> encode_packed(const packed_texts& texts) const { return embed_packed(model_->towers, texts); }
  /// Texts, to L2-normalized embeddings (N, D).
  embeddings<A> encode_text(std::span<const std::string> texts) const {
    std::vector<std::vector<std::int32_t>> rows;
    for (auto& text : texts) rows.push_back(text_(text));
    return encode_tokens(rows);
  }

 private:
  preprocess_config pixels_;
  tokenizer text_;
  scoring score_;
  dim bytes_ = 0;
  std::optional<model_type> averaged_;
  detail::frozen_memory<B> frozen_;  // thawed before the memory of the average is freed
  model_type* model_;
};

namespace detail {
/// For a model whose text side is a table: the loss is the mean of minus the captions' log-probabilities, and recall uses their
/// calibrated scores. images: rows [features, -log Z].
template <class Architecture, backend B, class Loss>
pair_metrics evaluate_table_pairs(const trained_model<Architecture, B, Loss>& model, const embeddings<accum_t<B>>& images,
                                  std::span<const std::string> captions, dim block) {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  const auto texts = caption_texts(captions, *model.text().ngrams(), model.model().loss.how);
  step<B> s(model.model().device());
  auto rows = s.make_accum(images.rows(), images.cols);  // (N, D + 1)
  s.device.upload(images.view(), rows);
  const auto log_p = text_scores<B>(s, texts, mat<const T>(model.model().towers.text.table()), rows, false);  // (captions, images)
  const std::size_t N = captions.size();
  std::vector<A> calibrated(N * N);  // (images, captions)
  double loss = 0;
  for (std::size_t i = 0; i < N; ++i) {
    for (std::size_t t = 0; t < N; ++t)
      calibrated[i * N + t] = static_cast<A>(static_cast<double>(log_p[t * N + i]) - texts.prior[t]);
    const auto own = static_cast<double>(log_p[i * N + i]);
    loss -= std::isinf(own) ? 0 : own / static_cast<double>(N);  // a caption without a known word is not an observation
  }
  auto m = evaluate_pairs(std::span<const A>(calibrated), captions, model.score(), block);
  m.loss = loss;
  return m;
}
}  // namespace detail

namespace detail {
/// The first pairs of a loader, encoded.
template <backend B>
struct held_out_pairs {
  embeddings<accum_t<B>> images, texts;  // (N, D); no texts for a model whose text side is a table
  std::vector<std::string> captions;
};
template <backend B>
held_out_pairs<B> encode_held_out(const loader_config& config, dim most, observer& watch,
                                  function_ref<embeddings<accum_t<B>>(std::span<const std::uint8_t>)> images,
                                  function_ref<embeddings<accum_t<B>>(const packed_texts&)> texts) {
  expect(config.text.has_value(), "evaluate_held_out: expected a loader's configuration with a tokenizer, got none");
  loader data(config);
  pair_batch batch;
  held_out_pairs<B> out;
  const auto append = [](auto& to, const auto& part) {
    to.cols = part.cols;
    to.values.insert(to.values.end(), part.values.begin(), part.values.end());
  };
  while (static_cast<dim>(out.captions.size()) < most && data.next(batch, watch)) {
    report(watch, "held-out pairs", out.captions.size(), static_cast<std::size_t>(most));
    append(out.images, images(batch.pixels));
    append(out.texts, texts(batch.texts));
    out.captions.insert(out.captions.end(), batch.captions.begin(), batch.captions.end());
  }
  return out;
}
}  // namespace detail

/// The loss and recall on held-out pairs: on the first batches that make `most` pairs or more. The loss is over blocks of `block`
/// pairs. The observer's stage is "held-out pairs". Errors: a loader without a tokenizer (loader_config::text), no pairs;
/// cancelled.
template <class Architecture, backend B, class Loss>
pair_metrics evaluate_held_out(const trained_model<Architecture, B, Loss>& model, const loader_config& config, dim most, dim block,
                               observer& watch = no_observer()) {
  constexpr bool over_table = has_table<typename Architecture::text::template tower<B>>;
  const auto images = [&](std::span<const std::uint8_t> rgb) { return model.encode_pixels(rgb); };
  const auto texts = [&](const packed_texts& packed) {
    return over_table ? embeddings<accum_t<B>>() : model.encode_packed(packed);
  };
  const auto pairs = detail::encode_held_out<B>(config, most, watch, images, texts);
  if constexpr (over_table) return detail::evaluate_table_pairs(model, pairs.images, pairs.captions, block);
  const auto scores = cosines(model.model().device(), pairs.images, pairs.texts);
  return evaluate_pairs(std::span<const accum_t<B>>(scores), pairs.captions, model.score(), block);
}

}  // namespace clipx
