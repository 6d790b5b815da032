// clip<Encoder, Backend>: both towers and the temperature. Weights, gradients, moments and averages are all this one type.
#pragma once
#include "../core/params.hpp"
#include "config.hpp"
#include "modified_resnet.hpp"
#include "text.hpp"
#include "vit.hpp"

namespace clipx {

template <class Encoder, backend B>
class clip {
 public:
  using encoder = Encoder;
  using backend_type = B;
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using image_tower = typename Encoder::template tower<B>;

  image_tower visual;
  text_tower<B> text;
  mat<A> logit_scale;  // (1, 1), the logarithm of the scale
  mat<A> logit_bias;   // (1, 1), of a model of the sigmoid loss; else empty

  /// Zeroed parameters on the device.
  clip(B& d, const clip_config& c) : clip(d, c, unbound{}) { memory_ = bind(d, *this); }
  /// Parameters without memory: whoever calls this points the views somewhere (a checkpoint's mapping).
  struct unbound {};
  clip(B& d, const clip_config& c, unbound) : visual(c), text(c), config_(c), device_(&d) {}

  template <class V>
  void visit(V& v) {
    v("logit_scale", logit_scale, {});
    if (config_.initial_logit_bias) v("logit_bias", logit_bias, {});
    v("visual", visual);
    v("", text);
  }

  B& device() const { return *device_; }
  const clip_config& config() const { return config_; }
  /// The parameters as flat spans, where this model owns them.
  flat<B>& memory() { return memory_; }
  /// The same model over zeroed memory: a gradient, a moment.
  clip zeros_like() const { return clip(*device_, config_); }

  struct saved {
    typename image_tower::saved visual;
    typename text_tower<B>::saved text;
  };

  /// Normalised pixels (N n n, 3) -> features (N, D), not normalised. training: BatchNorm takes the batch's statistics.
  /// chosen: tokens of a ViT that go on (see vit::tower::forward).
  mat<T> encode_image(step<B>& s, mat<const T> pixels, saved& k, bool training = false,
                      std::span<const std::int32_t> chosen = {}) const {
    if constexpr (requires { visual.forward(s, pixels, k.visual, training, chosen); }) {
      return visual.forward(s, pixels, k.visual, training, chosen);
    } else {
      expect(chosen.empty(), "patch dropout: a ModifiedResNet has no tokens to leave out");
      return visual.forward(s, pixels, k.visual, training);
    }
  }
  mat<T> encode_text(step<B>& s, const packed_texts& texts, saved& k) const { return text.forward(s, texts, k.text); }

  /// Gradients of the features to gradients of the parameters, added to grad.
  void backward(step<B>& s, const saved& k, mat<const T> d_image, mat<const T> d_text, clip& grad) const {
    visual.backward(s, k.visual, d_image, grad.visual);
    text.backward(s, k.text, d_text, grad.text);
  }

 private:
  flat<B> memory_;
  clip_config config_;
  B* device_;
};

}  // namespace clipx
