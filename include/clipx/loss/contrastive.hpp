// The symmetric contrastive loss with a learnable temperature (paper figure 3; formulas in the docs: G = (P + Q - 2I) / 2N).
#pragma once
#include <limits>

#include "../core/step.hpp"
#include "../model/config.hpp"

namespace clipx {

template <backend B>
struct contrastive_result {
  mat<accum_t<B>> loss;      // (1, 1), mean over both directions
  mat<scalar_t<B>> d_image;  // (N, D), gradient of the features before normalising
  mat<scalar_t<B>> d_text;   // (N, D)
};

/// Cosines of unit rows: x y^T, (N, M), in A always.
template <backend B>
void similarity(step<B>& s, mat<const accum_t<B>> x, mat<const accum_t<B>> y, mat<accum_t<B>> cosines) {
  using A = accum_t<B>;
  expect(x.cols == y.cols, [&] { return cat("similarity: expected equal widths, got ", x.cols, " and ", y.cols); });
  s.device.gemm(op::none, op::transpose, A(1), x, y, A(0), cosines);
}

namespace detail {
/// What the losses over pairs share: unit rows, the cosines a tile at a time, gradients through both. Of the N x N cosines one tile
/// exists at a time; where it is all of them, backward finds it there.
template <backend B>
struct pair_tiles {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  step<B>& s;
  mat<const T> image, text;
  dim N, D, tile;
  mat<A> y, y_norm, x, x_norm, cosines;  // (N, D), (N, 1), (tile, D), (tile, 1), (tile, tile)

  pair_tiles(step<B>& st, mat<const T> u, mat<const T> v, dim largest)
      : s(st), image(u), text(v), N(u.rows), D(u.cols), tile(largest > 0 && largest < N ? largest : N) {
    expect(same_shape(image, text) && N > 0, [&] {
      return cat("contrastive: expected as many texts as images of one width, got (", N, ", ", D, ") and (", text.rows, ", ",
                 text.cols, ")");
    });
    y = s.make_accum(N, D), y_norm = s.make_accum(N, 1);
    x = s.make_accum(tile, D), x_norm = s.make_accum(tile, 1), cosines = s.make_accum(tile, tile);
    s.device.normalize(text, y, y_norm);
  }
  dim part(dim from) const { return std::min(tile, N - from); }
  /// use(i, n, j, m, cosines (n, m)) for rows i .. i + n - 1 and columns j .. j + m - 1.
  template <class Use>
  void each(dim i, Use&& use) {
    const dim n = part(i);
    for (dim j = 0; j < N; j += tile) {
      const mat<A> c(cosines.data, n, part(j));  // (n, m)
      similarity(s, mat<const A>(x.row_range(0, n)), mat<const A>(y.row_range(j, part(j))), c);
      use(i, n, j, part(j), c);
    }
  }
  template <class Use>
  void forward(Use&& use) {
    for (dim i = 0; i < N; i += tile) unit_rows(i), each(i, use);
  }
  /// use(...) turns cosines into their gradients.
  template <class Use>
  void backward(mat<T> d_image, mat<T> d_text, bool cosines_are_there, Use&& use) {
    auto dy = s.make_accum(N, D), dx = s.make_accum(tile, D);  // (N, D), (tile, D)
    const auto add = [&](dim i, dim n, dim j, dim m, mat<A> c) {
      use(i, n, j, m, c);
      s.device.gemm(op::none, op::none, A(1), mat<const A>(c), mat<const A>(y.row_range(j, m)), A(j > 0), dx.row_range(0, n));
      s.device.gemm(op::transpose, op::none, A(1), mat<const A>(c), mat<const A>(x.row_range(0, n)), A(i > 0), dy.row_range(j, m));
    };
    for (dim i = 0; i < N; i += tile) {
      const dim n = part(i);
      if (cosines_are_there) add(i, n, dim{0}, N, cosines);
      else unit_rows(i), each(i, add);
      s.device.normalize_backward(mat<const A>(x.row_range(0, n)), mat<const A>(x_norm.row_range(0, n)),
                                  mat<const A>(dx.row_range(0, n)), d_image.row_range(i, n));
    }
    s.device.normalize_backward(mat<const A>(y), mat<const A>(y_norm), mat<const A>(dy), d_text);
  }

 private:
  void unit_rows(dim i) { s.device.normalize(image.row_range(i, part(i)), x.row_range(0, part(i)), x_norm.row_range(0, part(i))); }
};
}  // namespace detail

/// Loss of N matching pairs, in A (float for bf16 models) whatever the features are. logit_scale (1, 1) holds t, a logarithm;
/// where d_logit_scale is given the backward pass runs too: dL/dt is added to it, and the features' gradients are returned.
/// x = u / |u|, S = exp(t) X Y^T, loss = (sum of row and column log-sum-exp - 2 trace S) / 2N.
/// tile: so many rows and columns of S exist at once (0: all N), memory O(N D + tile^2) for one more product in the backward pass
/// (spec 8.3; Inf-CL).
template <backend B>
contrastive_result<B> contrastive(step<B>& s, mat<const scalar_t<B>> image, mat<const scalar_t<B>> text,
                                  mat<const accum_t<B>> logit_scale, mat<accum_t<B>> d_logit_scale = {}, dim tile = 0) {
  using A = accum_t<B>;
  const dim N = image.rows, D = image.cols;
  contrastive_result<B> out{s.make_accum(1, 1), {}, {}};
  if (d_logit_scale) out.d_image = s.make(N, D), out.d_text = s.make(N, D);
  scratch<B> here(s);
  detail::pair_tiles<B> tiles(s, image, text, tile);
  auto r = s.make_accum(N, 2), c = s.make_accum(N, 2);  // (N, 2), largest logit and sum of exponentials of each row, column
  auto own = s.make_accum(N, 1);                        // (N, 1), cosines of the pairs
  for (auto& side : {r, c}) {
    s.device.fill(side.col_range(0, 1), A(-std::numeric_limits<double>::infinity()));
    s.device.fill(side.col_range(1, 1), A(0));
  }
  tiles.forward([&](dim i, dim n, dim j, dim m, mat<A> cosines) {
    s.device.xent_tile(mat<const A>(cosines), logit_scale, i - j, r.row_range(i, n), c.row_range(j, m), own.row_range(i, n));
  });
  s.device.xent_loss(logit_scale, r, c, mat<const A>(own), out.loss);  // r and c become log-sum-exp
  if (!d_logit_scale) return out;

  // dL/dS = (P + Q - 2I) / 2N
  tiles.backward(out.d_image, out.d_text, tiles.tile == N, [&](dim i, dim n, dim j, dim m, mat<A> cosines) {
    const mat<const A> ri = r.row_range(i, n).col_range(0, 1), cj = c.row_range(j, m).col_range(0, 1);  // (n, 1), (m, 1)
    s.device.xent_tile_backward(mat<const A>(cosines), logit_scale, ri, cj, i - j, N, cosines, d_logit_scale);
  });
  return out;
}

/// After each optimiser step: t into [0, ln 100] (open_clip; the paper states the upper bound).
template <backend B>
void clamp_log_scale(B& device, mat<accum_t<B>> logit_scale) {
  device.clamp(logit_scale, 0.0, max_log_scale);
}

}  // namespace clipx
