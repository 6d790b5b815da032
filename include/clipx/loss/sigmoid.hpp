// The sigmoid loss over pairs (SigLIP, Zhai et al. 2023; docs/clip.md section 8.2):
// no sums across rows or columns, so tiles cost nothing extra.
#pragma once
#include "pairs.hpp"
#include "policy.hpp"

namespace clipx {

/// z = 1 for a matching pair, else -1; S = exp(t) X Y^T + b: loss = - (1 / N) sum of log sigma(z S).
struct sigmoid {
  /// What a configuration says about the loss.
  struct config {
    using policy = sigmoid;
    static constexpr std::string_view name = "sigmoid";
    double log_scale = 2.302585092994046;  // t at the start of training: ln 10, as in the paper
    double bias = -10;                     // b
    friend bool operator==(const config&, const config&) = default;
  };

  /// The loss on backend B.
  template <backend_types B>
  struct loss;

  ///@{
  /// As in loss_policy.
  static bool claims(const fields& model) { return model.has("init_logit_bias"); }
  static constexpr std::string_view telltale = "logit_bias";
  static config read(fields& model) { return {.bias = model.number("init_logit_bias", config{}.bias)}; }
  static void write(const config& c, field_writer& model) { model.put("init_logit_bias", c.bias); }
  static std::vector<std::pair<std::string, shape>> shapes() { return {{"logit_scale", {}}, {"logit_bias", {}}}; }
  static initial_values initial(std::string_view name, const config& c) {
    return initial_values::constant(name == "logit_scale" ? c.log_scale : c.bias);
  }
  ///@}
  /// An independent sigmoid for each label.
  static void score(std::span<double> cosines, std::span<const double> parameters);
  /// As in loss_policy.
  static void add_pair_loss(cosine_at cosines, dim n, dim N, std::span<const double> parameters, double& mean);
};

/// Its parameters, with the loss of a batch and its gradients.
template <backend_types B>
struct sigmoid::loss {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> logit_scale;  // (1, 1), t
  mat<A> logit_bias;   // (1, 1), b

  template <class V>
  void visit(V& v) {
    v("logit_scale", logit_scale, {});
    v("logit_bias", logit_bias, {});
  }

  /// The mean over the pairs, (1, 1), in A for any type of features.
  mat<A> forward(step<B>& s, const pair_features<B>& f) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    s.device.fill(out, A(0));
    scratch<B> here(s);
    detail::pair_tiles<B> tiles(s, f);
    tiles.forward(
        [&](dim i, dim, dim j, dim, mat<A> cosines) { s.device.sigmoid_xent_tile(tile(cosines, i - j, tiles.N), {.loss = out}); });
    return out;
  }

  /// The loss and its gradients: those of the features (N, D) are written to d_image and d_text,
  /// those of t and b are added to grad.
  mat<A> backward(step<B>& s, const pair_features<B>& f, loss& grad, mat<T> d_image, mat<T> d_text) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    s.device.fill(out, A(0));
    scratch<B> here(s);
    detail::pair_tiles<B> tiles(s, f);
    tiles.backward(d_image, d_text, false, [&](dim i, dim, dim j, dim, mat<A> cosines) {
      s.device.sigmoid_xent_tile(tile(cosines, i - j, tiles.N),
                                 {.loss = out, .dcosines = cosines, .dlog_scale = grad.logit_scale, .dbias = grad.logit_bias});
    });
    return out;
  }

  /// After each optimizer step: clamps t to [0, ln 100], as open_clip does for both losses.
  void clamp(B& device) { device.clamp(logit_scale, 0.0, max_log_scale); }

 private:
  sigmoid_tile_input<A> tile(mat<const A> cosines, dim shift, dim N) const {
    return {.cosines = cosines, .log_scale = logit_scale, .bias = logit_bias, .shift = shift, .N = N};
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "sigmoid-inl.hpp"
#endif
