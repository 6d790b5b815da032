// The symmetric contrastive loss with a learnable temperature (paper figure 3; docs/clip.md section 8.1).
// A template for new losses.
#pragma once
#include <limits>

#include "pairs.hpp"
#include "policy.hpp"

namespace clipx {

/// x = u / |u|, S = exp(t) X Y^T, loss = (sum of the log-sum-exp of rows and columns - 2 trace S) / 2N.
struct contrastive {
  /// What a configuration says about the loss.
  struct config {
    using policy = contrastive;
    static constexpr std::string_view name = "contrastive";
    double log_scale = 2.659260036932778;  // t at the start of training: ln(1 / 0.07), as in the paper
    friend bool operator==(const config&, const config&) = default;
  };

  /// The loss on backend B.
  template <backend_types B>
  struct loss;

  static bool claims(const fields&) { return true; }  // the loss of open_clip unless its configuration says otherwise
  ///@{
  /// As in loss_policy.
  static constexpr std::string_view telltale = "logit_scale";
  static config read(fields&) { return {}; }
  static void write(const config&, field_writer&) {}
  static std::vector<std::pair<std::string, shape>> shapes() { return {{"logit_scale", {}}}; }
  static initial_values initial(std::string_view, const config& c) { return initial_values::constant(c.log_scale); }
  ///@}
  /// A softmax over the labels.
  static void score(std::span<double> cosines, std::span<const double> parameters);
  /// As in loss_policy.
  static void add_pair_loss(cosine_at cosines, dim n, dim N, std::span<const double> parameters, double& mean);
};

/// Its parameter, with the loss of a batch and its gradients.
template <backend_types B>
struct contrastive::loss {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  mat<A> logit_scale;  // (1, 1), t

  template <class V>
  void visit(V& v) {
    v("logit_scale", logit_scale, {});
  }

  /// The mean over both directions, (1, 1), in A for any type of features.
  mat<A> forward(step<B>& s, const pair_features<B>& f) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    scratch<B> here(s);
    detail::pair_tiles<B> tiles(s, f);
    log_sum_exp sums(s, tiles.N);
    sum(tiles, sums, out);
    return out;
  }

  /// The loss and its gradients: those of the features (N, D) are written to d_image and d_text, that of t is added to grad.
  mat<A> backward(step<B>& s, const pair_features<B>& f, loss& grad, mat<T> d_image, mat<T> d_text) const {
    auto out = s.make_accum(1, 1);  // (1, 1)
    scratch<B> here(s);
    detail::pair_tiles<B> tiles(s, f);
    log_sum_exp sums(s, tiles.N);
    sum(tiles, sums, out);
    // dL/dS = (P + Q - 2I) / 2N
    tiles.backward(d_image, d_text, tiles.tile == tiles.N, [&](dim i, dim n, dim j, dim m, mat<A> cosines) {
      const xent_tile_input<A> in{.cosines = cosines,
                                  .log_scale = logit_scale,
                                  .rows = sums.rows.row_range(i, n).col_range(0, 1),
                                  .columns = sums.columns.row_range(j, m).col_range(0, 1),
                                  .shift = i - j,
                                  .N = tiles.N};
      s.device.xent_tile_backward(in, cosines, grad.logit_scale);
    });
    return out;
  }

  /// After each optimizer step: clamps t to [0, ln 100] (as open_clip; the paper has the upper bound).
  void clamp(B& device) { device.clamp(logit_scale, 0.0, max_log_scale); }

 private:
  struct log_sum_exp {
    mat<A> rows, columns;  // (N, 2), largest logit and sum of exp(logit - largest); after xent_loss the first is the log-sum-exp
    mat<A> positives;      // (N, 1), cosines of the pairs
    log_sum_exp(step<B>& s, dim N) : rows(s.make_accum(N, 2)), columns(s.make_accum(N, 2)), positives(s.make_accum(N, 1)) {
      for (auto& side : {rows, columns}) {
        s.device.fill(side.col_range(0, 1), A(-std::numeric_limits<double>::infinity()));
        s.device.fill(side.col_range(1, 1), A(0));
      }
    }
  };
  void sum(detail::pair_tiles<B>& tiles, log_sum_exp& k, mat<A> out) const {
    B& device = tiles.s.device;
    tiles.forward([&](dim i, dim n, dim j, dim m, mat<A> cosines) {
      device.xent_tile(mat<const A>(cosines), mat<const A>(logit_scale), i - j, k.rows.row_range(i, n), k.columns.row_range(j, m),
                       k.positives.row_range(i, n));
    });
    device.xent_loss(mat<const A>(logit_scale), k.rows, k.columns, mat<const A>(k.positives), out);
  }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "contrastive-inl.hpp"
#endif
