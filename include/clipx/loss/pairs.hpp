// What losses over matching pairs share: their inputs, and the cosines of all pairs, one tile at a time.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "../core/packed_texts.hpp"
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

/// The inputs of a loss over N matching pairs: features that are not L2-normalized.
template <backend_types B>
struct pair_features {
  mat<const scalar_t<B>> image;            // (N, D)
  mat<const scalar_t<B>> text;             // (N, D); empty if the model has no text tower
  const packed_texts* captions = nullptr;  // N, for a loss over words
  /// Side of the tile of the N x N cosines that exists at a time; 0: N. Memory O(N D + tile^2), for one more product in the
  /// backward pass (docs/clip.md section 8.3; Inf-CL).
  dim tile = 0;
};

/// Cosines of L2-normalized rows: x y^T, (N, M), always in A.
template <backend_types B>
void similarity(step<B>& s, mat<const accum_t<B>> x, mat<const accum_t<B>> y, mat<accum_t<B>> cosines) {
  using A = accum_t<B>;
  expect(x.cols == y.cols, [&] { return cat("similarity: expected equal widths, got ", x.cols, " and ", y.cols); });
  s.device.gemm(op::none, op::transpose, A(1), x, y, A(0), cosines);
}

namespace detail {
/// L2-normalized features, their cosines one tile at a time, and gradients through both. Only one tile of the N x N cosines exists
/// at a time; if it is all of them, the backward pass reuses it.
template <backend_types B>
struct pair_tiles {
  using T = scalar_t<B>;
  using A = accum_t<B>;
  step<B>& s;
  mat<const T> image, text;  // (N, D)
  dim N, D, tile;
  mat<A> y, y_norm;  // (N, D), (N, 1), normalized texts
  mat<A> x, x_norm;  // (tile, D), (tile, 1), normalized images of a tile
  mat<A> cosines;    // (tile, tile)

  pair_tiles(step<B>& st, const pair_features<B>& f)
      : s(st), image(f.image), text(f.text), N(image.rows), D(image.cols), tile(f.tile > 0 && f.tile < N ? f.tile : N) {
    expect(same_shape(image, text) && N > 0, [&] {
      return cat("contrastive: expected as many texts as images of one width, got (", N, ", ", D, ") and (", text.rows, ", ",
                 text.cols, ")");
    });
    y = s.make_accum(N, D);
    y_norm = s.make_accum(N, 1);
    x = s.make_accum(tile, D);
    x_norm = s.make_accum(tile, 1);
    cosines = s.make_accum(tile, tile);
    s.device.normalize(text, y, y_norm);
  }
  /// Calls use(i, n, j, m, cosines (n, m)) for every tile: rows i .. i + n - 1 and columns j .. j + m - 1.
  template <class Use>
  void forward(Use&& use) {
    for (dim i = 0; i < N; i += tile) {
      normalize_images(i);
      each_column(i, use);
    }
  }
  /// use(...) turns cosines into their gradients. cosines_are_there: forward() left all cosines in the tile.
  template <class Use>
  void backward(mat<T> d_image, mat<T> d_text, bool cosines_are_there, Use&& use) {
    auto dy = s.make_accum(N, D), dx = s.make_accum(tile, D);  // (N, D), (tile, D)
    const auto add = [&](dim i, dim n, dim j, dim m, mat<A> c) {
      use(i, n, j, m, c);
      s.device.gemm(op::none, op::none, A(1), mat<const A>(c), mat<const A>(y.row_range(j, m)), A(j > 0), dx.row_range(0, n));
      s.device.gemm(op::transpose, op::none, A(1), mat<const A>(c), mat<const A>(x.row_range(0, n)), A(i > 0), dy.row_range(j, m));
    };
    for (dim i = 0; i < N; i += tile) {
      const dim n = rows_from(i);
      if (cosines_are_there) {
        add(i, n, dim{0}, N, cosines);
      } else {
        normalize_images(i);
        each_column(i, add);
      }
      s.device.normalize_backward(mat<const A>(x.row_range(0, n)), mat<const A>(x_norm.row_range(0, n)),
                                  mat<const A>(dx.row_range(0, n)), d_image.row_range(i, n));
    }
    s.device.normalize_backward(mat<const A>(y), mat<const A>(y_norm), mat<const A>(dy), d_text);
  }

 private:
  dim rows_from(dim i) const { return std::min(tile, N - i); }
  template <class Use>
  void each_column(dim i, Use&& use) {
    const dim n = rows_from(i);
    for (dim j = 0; j < N; j += tile) {
      const mat<A> c(cosines.data, n, rows_from(j));  // (n, m)
      similarity(s, mat<const A>(x.row_range(0, n)), mat<const A>(y.row_range(j, c.cols)), c);
      use(i, n, j, c.cols, c);
    }
  }
  void normalize_images(dim i) {
    const dim n = rows_from(i);
    s.device.normalize(image.row_range(i, n), x.row_range(0, n), x_norm.row_range(0, n));
  }
};
}  // namespace detail

}  // namespace clipx
