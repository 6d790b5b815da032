// clip<Architecture, Backend>: an image tower and a text tower. Weights, gradients, moments and averages all have this type.
#pragma once
#include "compiled.hpp"
#include "tower.hpp"

namespace clipx {

/// Architecture is a policy such as vit or modified_resnet (architectures/): it names the image tower and the text tower. The
/// temperature belongs to the loss (loss/).
template <class Architecture, backend_types B>
class clip {
 public:
  using architecture_type = Architecture;  // the policy
  using backend_type = B;                  // the device's type
  using T = scalar_t<B>;
  using A = accum_t<B>;
  using visual_type = typename Architecture::template tower<B>;      // the image tower
  using text_type = typename Architecture::text::template tower<B>;  // the text tower

  visual_type visual;  // parameters of the image tower
  text_type text;      // parameters of the text tower

  /// Zeroed parameters on the device. Errors: a configuration of another architecture, or with invalid sizes.
  clip(B& d, const clip_config& c) : clip(d, c, unbound{}) { memory_ = bind(d, *this); }
  /// Parameters without memory: the caller points the views somewhere (for example into a mapped checkpoint).
  struct unbound {};
  /// Sizes alone. Errors as above.
  clip(B& d, const clip_config& c, unbound) : visual(c), text(c), config_(c), device_(&d) {}

  void visit(auto& v) {
    if (config_.towers != tower_set::text) v("visual", visual);
    if (config_.towers != tower_set::image) v("", text);
  }

  B& device() const { return *device_; }                 // where the parameters are
  const clip_config& config() const { return config_; }  // sizes, and how the model is trained
  /// The parameters as flat spans, if this model owns them.
  flat<B>& memory() { return memory_; }
  /// The same model in zeroed memory, for a gradient or a moment.
  clip zeros_like() const { return clip(*device_, config_); }

  struct saved {
    typename visual_type::saved visual;
    typename text_type::saved text;
  };

  /// Normalized pixels (N n n, 3) -> features (N, D), not L2-normalized; see image_tower. Error: a text tower alone.
  mat<T> encode_image(step<B>& s, mat<const T> pixels, saved& k, bool training = false,
                      std::span<const std::int32_t> patches = {}) const {
    static_assert(image_tower<visual_type, B>, "the architecture's image tower lacks a member; see model/tower.hpp");
    expect_towers(config_, tower_set::image);
    if constexpr (compiled) return detail::compiled_forward<visual_type, B>(visual, s, pixels, k.visual, training, patches);
    else return visual.forward(s, pixels, k.visual, training, patches);
  }
  /// Packed texts -> features (N, D), not L2-normalized. Error: an image tower alone.
  mat<T> encode_text(step<B>& s, const packed_texts& texts, saved& k) const {
    static_assert(text_tower<text_type, B>, "the architecture's text tower lacks a member; see model/tower.hpp");
    expect_towers(config_, tower_set::text);
    if constexpr (compiled) return detail::compiled_forward<text_type, B>(text, s, texts, k.text);
    else return text.forward(s, texts, k.text);
  }

  /// Gradients of the features, (N, D), to gradients of the parameters, added to grad.
  void backward_image(step<B>& s, const saved& k, mat<const T> d_image, clip& grad) const {
    if constexpr (compiled) detail::compiled_backward<visual_type, B>(visual, s, k.visual, d_image, grad.visual);
    else visual.backward(s, k.visual, d_image, grad.visual);
  }
  /// The same for texts.
  void backward_text(step<B>& s, const saved& k, mat<const T> d_text, clip& grad) const {
    if constexpr (compiled) detail::compiled_backward<text_type, B>(text, s, k.text, d_text, grad.text);
    else text.backward(s, k.text, d_text, grad.text);
  }
  /// Both.
  void backward(step<B>& s, const saved& k, mat<const T> d_image, mat<const T> d_text, clip& grad) const {
    backward_image(s, k, d_image, grad);
    backward_text(s, k, d_text, grad);
  }

 private:
  static constexpr bool compiled = has_compiled_towers<Architecture, B>;
  flat<B> memory_;
  clip_config config_;
  B* device_;
};

}  // namespace clipx
