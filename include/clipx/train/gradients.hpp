// Gradients of one batch of pairs, whole or in chunks: gradient caching (Gao et al. 2021; docs/clip.md section 8.4).
#pragma once
#include <array>
#include <span>
#include <vector>

#include "../image/preprocess.hpp"
#include "trainable.hpp"

namespace clipx {

/// How the gradients of a batch are computed.
struct gradient_options {
  dim chunk = 0;                               // pairs encoded at a time; 0: the whole batch
  dim loss_tile = 0;                           // see pair_features
  keep kept = keep::selective;                 // which activations are kept
  bool train_image = true, train_text = true;  // a tower that is not trained keeps nothing
  bool batch_statistics = true;                // BatchNorm: true: the batch's, and the running ones are updated; false: the frozen
                                               // running ones
};

/// A batch on the host: N images (N, H W 3) of 8-bit RGB, N texts, and for patch dropout the rows that are kept (N, L').
struct pair_view {
  std::span<const std::uint8_t> rgb;     // the images
  const packed_texts& texts;             // the texts
  std::span<const std::int32_t> chosen;  // see vision_transformer::forward(); empty: all tokens
};

namespace detail {

/// The losses of the last batches, kept by the device, so that a training loop need not wait in every step.
template <backend B>
class loss_history {
 public:
  using A = accum_t<B>;
  static constexpr dim kept = 128;
  explicit loss_history(B& device) : device_(&device), losses_(device.template alloc<A>(kept)) {}

  void add(mat<const A> loss) { device_->copy(loss, mat<A>(losses_.data() + batches_++ % kept, 1, 1)); }
  /// The last out.size() losses, oldest first; waits for the device.
  void read(std::span<double> out) const {
    const dim n = static_cast<dim>(out.size());
    expect(n <= std::min(kept, batches_),
           [&] { return cat("losses: expected at most ", kept, " of the ", batches_, " batches so far, got ", n); });
    if (n == 0) return;
    std::vector<double> ring(static_cast<std::size_t>(kept));
    device_->download(mat<const A>(losses_.as_mat(1, kept)), mat<double>(ring.data(), 1, kept));
    device_->sync();
    for (dim i = 0; i < n; ++i) out[static_cast<std::size_t>(i)] = ring[static_cast<std::size_t>((batches_ - n + i) % kept)];
  }

 private:
  B* device_;
  buffer<A> losses_;  // a ring buffer: that of batch i is at i mod kept
  dim batches_ = 0;
};

/// The loss of pairs with its gradients: of the features, written, and of the loss's own parameters, added to where its owner keeps
/// them. Returns the loss, (1, 1).
template <class B>
using loss_call = function_ref<mat<const accum_t<B>>(step<B>&, const pair_features<B>&, mat<scalar_t<B>>, mat<scalar_t<B>>)>;

/// pair_gradients of the towers, for any loss. Towers is a clip<Architecture, B>.
template <class Towers>
class tower_gradients {
 public:
  using B = typename Towers::backend_type;
  using T = scalar_t<B>;
  using A = accum_t<B>;
  tower_gradients(Towers& towers, const preprocess_config& pixels, const gradient_options& o)
      : towers_(&towers), device_(&towers.device()), pixels_(pixels), options_(o), losses_(*device_) {}

  void operator()(const pair_view& b, Towers& grad, loss_call<B> loss) {
    const dim N = b.texts.count(), D = towers_->config().embed_dim;
    const dim chunk = options_.chunk > 0 && options_.chunk < N ? options_.chunk : N;
    const extent n = towers_->visual.config.image_size;
    expect(N > 0 && static_cast<dim>(b.rgb.size()) == N * n.area() * 3, [&] {
      return cat("a batch of pairs: expected ", sides_of(n), " pixels for each of ", N, " texts, got ", b.rgb.size(), " bytes");
    });
    const bool statistics = keeps_statistics && options_.batch_statistics && options_.train_image;
    expect(chunk == N || !statistics,
           "gradient caching: BatchNorm's statistics are those of a whole batch; use one chunk or freeze the statistics");
    step<B> s(*device_, keep::nothing);
    auto image = s.make(N, D), d_image = s.make(N, D);  // (N, D)
    mat<T> text, d_text;                                // (N, D); if the text side is a table, the whole table and its gradient
    if constexpr (over_table) {
      text = towers_->text.table();
      d_text = grad.text.table();
    } else {
      text = s.make(N, D);
      d_text = s.make(N, D);
    }
    const pair_features<B> features{.image = image, .text = text, .captions = &b.texts, .tile = options_.loss_tile};
    saved k;
    if (chunk == N) {
      encode(s, b, 0, N, k, options_.kept, statistics, image, text);
      losses_.add(loss(s, features, d_image, d_text));
      backward(s, k, d_image, d_text, grad);
      if constexpr (keeps_statistics)
        if (statistics) towers_->visual.update_statistics(s, k.visual);
      return;
    }
    for (dim i = 0; i < N; i += chunk) {
      scratch<B> here(s);
      const dim c = std::min(chunk, N - i);
      encode(s, b, i, c, k, keep::nothing, false, image.row_range(i, c), part(text, i, c));
    }
    losses_.add(loss(s, features, d_image, d_text));
    for (dim i = 0; i < N; i += chunk) {
      scratch<B> here(s);
      const dim c = std::min(chunk, N - i);
      encode(s, b, i, c, k, options_.kept, false, image.row_range(i, c), part(text, i, c));
      backward(s, k, d_image.row_range(i, c), part(d_text, i, c), grad);
    }
  }

  void fit_statistics(std::span<const std::uint8_t> rgb) {
    if constexpr (keeps_statistics) {
      const extent n = towers_->visual.config.image_size;
      const dim each = n.area() * 3, bytes = static_cast<dim>(rgb.size());
      expect(bytes > 0 && bytes % each == 0, [&] {
        return cat("fit_statistics: expected whole images of ", sides_of(n), " pixels, ", each, " bytes each, got ", bytes,
                   " bytes");
      });
      step<B> s(*device_, options_.kept);
      saved k;
      towers_->encode_image(s, pixels_of(s, rgb), k, true);
      towers_->visual.update_statistics(s, k.visual, 1);
    }
  }
  loss_history<B>& losses() { return losses_; }  // one a batch

 private:
  using saved = typename Towers::saved;
  static constexpr bool over_table = has_table<typename Towers::text_type>;
  static constexpr bool keeps_statistics = has_statistics<typename Towers::visual_type, B>;

  /// Converts (N, H W 3) bytes on the host to normalized pixels (N H W, 3).
  mat<const T> pixels_of(step<B>& s, std::span<const std::uint8_t> rgb) {
    const dim rows = static_cast<dim>(rgb.size()) / 3;
    auto bytes = device_->memory().template take<std::uint8_t>(rows, 3);
    auto pixels = s.make(rows, 3);
    device_->upload(mat<const std::uint8_t>(rgb.data(), rows, 3), bytes);
    device_->pixels(mat<const std::uint8_t>(bytes), pixels_.mean, pixels_.std, pixels);
    return mat<const T>(pixels);
  }
  void encode(step<B>& s, const pair_view& b, dim first, dim n, saved& k, keep kept, bool statistics, mat<T> image, mat<T> text) {
    const dim pixels_each = extent(towers_->visual.config.image_size).area();
    const dim tokens = static_cast<dim>(b.chosen.size()) / b.texts.count();
    k = {};
    std::vector<std::int32_t> chosen;  // rows in this chunk's own tokens
    if constexpr (has_tokens<typename Towers::visual_type>) {
      const auto whole = static_cast<std::int32_t>(first * towers_->visual.tokens());
      for (dim i = first * tokens; i < (first + n) * tokens; ++i) chosen.push_back(b.chosen[static_cast<std::size_t>(i)] - whole);
    }
    const auto pixels = pixels_of(
        s, b.rgb.subspan(static_cast<std::size_t>(first * pixels_each * 3), static_cast<std::size_t>(n * pixels_each * 3)));
    s.kept = options_.train_image ? kept : keep::nothing;
    device_->copy(mat<const T>(towers_->encode_image(s, pixels, k, statistics, chosen)), image);
    if constexpr (!over_table) {
      s.kept = options_.train_text ? kept : keep::nothing;
      const auto features = towers_->encode_text(s, n == b.texts.count() ? b.texts : b.texts.part(first, n), k);
      if (features) device_->copy(mat<const T>(features), text);
    }
  }
  /// The rows of a chunk; for a table, all rows.
  static mat<T> part(mat<T> text, dim first, dim n) { return over_table ? text : text.row_range(first, n); }
  void backward(step<B>& s, const saved& k, mat<const T> d_image, mat<const T> d_text, Towers& grad) {
    s.kept = options_.kept;
    if (options_.train_image) towers_->backward_image(s, k, d_image, grad);
    if (options_.train_text) towers_->backward_text(s, k, d_text, grad);
  }

  Towers* towers_;
  B* device_;
  preprocess_config pixels_;
  gradient_options options_;
  loss_history<B> losses_;
};

}  // namespace detail

/// Model is a trainable<Architecture, B, Loss>.
template <class Model>
class pair_gradients {
 public:
  using B = typename Model::backend_type;  // the device's type
  using T = scalar_t<B>;
  static constexpr dim losses_kept = detail::loss_history<B>::kept;  // of the last batches, on the device

  /// pixels: how images are normalized; from the checkpoint's configuration.
  pair_gradients(Model& model, const preprocess_config& pixels, const gradient_options& o)
      : model_(&model), gradients_(model.towers, pixels, o) {}

  /// Adds the gradients of the batch's mean loss to grad. With chunks the towers run twice: once for the features, all of which the
  /// loss needs, and once for the gradients; the result is that of the whole batch, up to rounding. Errors: BatchNorm with chunks,
  /// whose statistics would not be those of the batch.
  void operator()(const pair_view& b, Model& grad) {
    gradients_(b, grad.towers, [&](step<B>& s, const pair_features<B>& features, mat<T> d_image, mat<T> d_text) {
      return model_->loss.backward(s, features, grad.loss, d_image, d_text);
    });
  }

  /// Sets BatchNorm's running statistics to those of N images (N, H W 3) in a training forward pass. Errors: an incomplete image.
  void fit_statistics(std::span<const std::uint8_t> rgb) { gradients_.fit_statistics(rgb); }

  /// The loss of the last batch; waits for the device.
  double loss() {
    double v = 0;
    losses({&v, 1});
    return v;
  }
  /// The losses of the last out.size() batches, oldest first; waits for the device. Errors: more than losses_kept, or more than
  /// there were batches.
  void losses(std::span<double> out) { gradients_.losses().read(out); }

 private:
  Model* model_;
  detail::tower_gradients<typename Model::towers_type> gradients_;
};

}  // namespace clipx
