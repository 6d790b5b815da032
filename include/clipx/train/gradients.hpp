// Gradients of one batch of pairs, whole or in chunks: gradient caching (Gao et al. 2021; spec section 8.4).
#pragma once
#include <array>
#include <span>
#include <vector>

#include "../loss/sigmoid.hpp"
#include "../model/clip.hpp"

namespace clipx {

struct gradient_options {
  dim chunk = 0;                               // pairs encoded at once; 0: the whole batch
  dim loss_tile = 0;                           // as in contrastive() and sigmoid_contrastive()
  keep kept = keep::selective;                 // of activations
  bool train_image = true, train_text = true;  // a tower that is not trained keeps nothing
  bool batch_statistics = true;                // BatchNorm: the batch's, followed by the running ones; else those, frozen
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, std{0.26862954f, 0.26130258f, 0.27577711f};  // of pixels
};

/// A batch on the host: N pictures (N, n n 3) of 8-bit RGB, N texts, and for patch dropout the rows that go on (N, L').
struct pair_view {
  std::span<const std::uint8_t> rgb;
  std::span<const std::vector<std::int32_t>> texts;
  std::span<const std::int32_t> chosen;
};

template <class Model>
class pair_gradients {
 public:
  using B = typename Model::backend_type;
  using T = scalar_t<B>;
  using A = accum_t<B>;
  pair_gradients(Model& model, const gradient_options& o)
      : model_(&model), device_(&model.device()), options_(o), loss_(device_->template alloc<A>(1)) {}

  /// Adds the gradients of the mean loss of the batch to grad: the contrastive one, or the sigmoid's where the model has a bias. In
  /// chunks the towers run twice: once for the features, which the loss needs all of, once for the gradients; the result is that of
  /// the whole batch, to rounding. Errors: BatchNorm over chunks, whose statistics would not be the batch's.
  void operator()(const pair_view& b, Model& grad) {
    const dim N = static_cast<dim>(b.texts.size()), D = model_->config().embed_dim;
    const dim n = model_->config().vision.image_size, chunk = options_.chunk > 0 && options_.chunk < N ? options_.chunk : N;
    expect(N > 0 && static_cast<dim>(b.rgb.size()) == N * n * n * 3, [&] {
      return cat("a batch of pairs: expected ", n, " x ", n, " pixels for each of ", N, " texts, got ", b.rgb.size(), " bytes");
    });
    const bool statistics = model_->config().vision.is_resnet() && options_.batch_statistics && options_.train_image;
    expect(chunk == N || !statistics,
           "gradient caching: BatchNorm's statistics are those of a whole batch; use one chunk or freeze the statistics");
    step<B> s(*device_, keep::nothing);
    auto image = s.make(N, D), text = s.make(N, D);  // (N, D)
    saved k;
    if (chunk == N) {
      encode(s, b, 0, N, k, options_.kept, statistics, image, text);
      const auto out = loss(s, image, text, grad);
      backward(s, k, out.d_image, out.d_text, grad);
      if constexpr (has_statistics)
        if (statistics) model_->visual.update_statistics(s, k.visual);
      return;
    }
    for (dim i = 0; i < N; i += chunk) {
      scratch<B> here(s);
      const dim c = std::min(chunk, N - i);
      encode(s, b, i, c, k, keep::nothing, false, image.row_range(i, c), text.row_range(i, c));
    }
    const auto out = loss(s, image, text, grad);
    for (dim i = 0; i < N; i += chunk) {
      scratch<B> here(s);
      const dim c = std::min(chunk, N - i);
      encode(s, b, i, c, k, options_.kept, false, image.row_range(i, c), text.row_range(i, c));
      backward(s, k, out.d_image.row_range(i, c), out.d_text.row_range(i, c), grad);
    }
  }

  /// BatchNorm's running statistics become those of N pictures (N, n n 3), as a training forward finds them.
  void fit_statistics(std::span<const std::uint8_t> rgb) {
    if constexpr (has_statistics) {
      step<B> s(*device_, options_.kept);
      saved k;
      model_->encode_image(s, pixels_of(s, rgb), k, true);
      model_->visual.update_statistics(s, k.visual, 1);
    }
  }

  /// The loss of the last batch; waits for the device.
  double loss() {
    double v = 0;
    device_->download(mat<const A>(loss_.as_mat(1, 1)), mat<double>(&v, 1, 1));
    device_->sync();
    return v;
  }

 private:
  using saved = typename Model::saved;
  static constexpr bool has_statistics = requires(Model & m, step<B>& s, const saved& k) {
    m.visual.update_statistics(s, k.visual);
  };

  /// (N, n n 3) bytes on the host to normalised pixels (N n n, 3).
  mat<const T> pixels_of(step<B>& s, std::span<const std::uint8_t> rgb) {
    const dim rows = static_cast<dim>(rgb.size()) / 3;
    auto bytes = device_->memory().template take<std::uint8_t>(rows, 3);
    auto pixels = s.make(rows, 3);
    device_->upload(mat<const std::uint8_t>(rgb.data(), rows, 3), bytes);
    device_->pixels(mat<const std::uint8_t>(bytes), options_.mean, options_.std, pixels);
    return mat<const T>(pixels);
  }
  void encode(step<B>& s, const pair_view& b, dim first, dim n, saved& k, keep kept, bool statistics, mat<T> image, mat<T> text) {
    const dim side = model_->config().vision.image_size, pixels_each = side * side;
    const dim tokens = static_cast<dim>(b.chosen.size()) / static_cast<dim>(b.texts.size());
    k = {};
    std::vector<std::int32_t> chosen;  // rows of this chunk's own tokens
    const auto whole = static_cast<std::int32_t>(first * model_->config().vision.tokens());
    for (dim i = first * tokens; i < (first + n) * tokens; ++i) chosen.push_back(b.chosen[static_cast<std::size_t>(i)] - whole);
    const auto pixels = pixels_of(
        s, b.rgb.subspan(static_cast<std::size_t>(first * pixels_each * 3), static_cast<std::size_t>(n * pixels_each * 3)));
    s.kept = options_.train_image ? kept : keep::nothing;
    device_->copy(mat<const T>(model_->encode_image(s, pixels, k, statistics, chosen)), image);
    s.kept = options_.train_text ? kept : keep::nothing;
    const auto packed =
        packed_texts::pack(b.texts.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(n)), model_->config().text);
    device_->copy(mat<const T>(model_->encode_text(s, packed, k)), text);
  }
  contrastive_result<B> loss(step<B>& s, mat<const T> image, mat<const T> text, Model& grad) {
    const mat<const A> t(model_->logit_scale), b(model_->logit_bias);
    const auto out = b ? sigmoid_contrastive(s, image, text, t, b, grad.logit_scale, grad.logit_bias, options_.loss_tile)
                       : contrastive(s, image, text, t, grad.logit_scale, options_.loss_tile);
    device_->copy(mat<const A>(out.loss), loss_.as_mat(1, 1));
    return out;
  }
  void backward(step<B>& s, const saved& k, mat<const T> d_image, mat<const T> d_text, Model& grad) {
    s.kept = options_.kept;
    if (options_.train_image) model_->visual.backward(s, k.visual, d_image, grad.visual);
    if (options_.train_text) model_->text.backward(s, k.text, d_text, grad.text);
  }

  Model* model_;
  B* device_;
  gradient_options options_;
  buffer<A> loss_;
};

}  // namespace clipx
