// Depthwise convolutions on NHWC rows. A task is one image and as many channels as a vector holds: the rows of the image that the
// window sees are widened to float and padded with zeros on the left and right, in a ring of memory that fits into the first-level
// cache; rows above and below the image are left out.
#ifndef CLIPX_CPU_DEPTHWISE_HPP
#define CLIPX_CPU_DEPTHWISE_HPP
#include "family.hpp"

namespace clipx::simd {
/// A depthwise convolution of images (height, width) to (out_height, out_width): the pixels of x lie `spread` apart in the padded
/// image, and the window moves by `step`.
struct depthwise_sizes {
  dim height, width, out_height, out_width, kernel, step, spread, pad;
};
}  // namespace clipx::simd

namespace clipx::detail {

template <class T>
class cpu_depthwise : cpu_family<T> {
 public:
  using cpu_family<T>::cpu_family;

  /// y[pixel][c] = the window's pixels of channel c times weight[c], plus bias[c]; bias may be empty.
  void depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y);
  /// dx, which may be empty, is overwritten; dweight accumulates.
  void depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx, mat<T> dweight);
};
CLIPX_CPU_DECLARED(cpu_depthwise);

}  // namespace clipx::detail
#endif

#ifdef CLIPX_CPU_KERNELS
HWY_BEFORE_NAMESPACE();
namespace clipx::simd::HWY_NAMESPACE {

/// One image's rows as the window sees them, `lanes` channels of each pixel. The rows of the gradient of a convolution with a
/// stride lie `spread` apart, with zeros between them.
struct seen_rows {
  dim kernel, rows, spread, left, width;  // width: padded pixels of a row, of which the first `left` are zero
  float* memory;                          // (kernel, width, lanes)
  dim next = 0;                           // the first row that is not there yet
  static HWY_INLINE dim floats(dim kernel, dim width) { return kernel * width * lanes; }
  HWY_INLINE float* slot(dim row) const { return memory + row % kernel * width * lanes; }
  HWY_INLINE void clear() { std::fill_n(memory, floats(kernel, width), 0.0f); }
  /// Row `row` of the image, with its padding; null outside of the image and between its rows.
  HWY_INLINE const float* at(dim row) const { return row >= 0 && row < rows && row % spread == 0 ? slot(row) : nullptr; }
  /// Reads all rows before `end`; pixels (height width, channels) are those of the image.
  template <class At, class T>
  HWY_INLINE void read(At channels, mat<const T> pixels, dim pixels_each, dim end) {
    for (; next < std::min(end, rows); ++next) {
      if (next % spread != 0) continue;
      float* to = slot(next) + left * lanes;
      for (dim x = 0; x < pixels_each; ++x)
        store(channels.get(pixels.row(next / spread * pixels_each + x)), to + x * spread * lanes);
    }
  }
};

/// `Tile` adjacent output pixels at a time: every tap's weight is loaded once for all of them. taps (kernel kernel, lanes); y
/// (tiles Tile, lanes). Step: between the inputs of adjacent outputs, in pixels; 0: `step`.
template <int Tile, int Step>
HWY_INLINE void depthwise_tiles(const float* const* rows, dim kernel, const float* taps, const float* bias, dim tiles, dim step,
                                float* y) {
  const dim apart = (Step ? Step : step) * lanes;
  for (dim t = 0; t < tiles; ++t, y += Tile * lanes) {
    vf sum[Tile];
    for (int i = 0; i < Tile; ++i) sum[i] = load(bias);
    for (dim ky = 0; ky < kernel; ++ky) {
      if (!rows[ky]) continue;
      const float *from = rows[ky] + t * Tile * apart, *tap = taps + ky * kernel * lanes;
      for (dim kx = 0; kx < kernel; ++kx, from += lanes, tap += lanes) {
        const auto weight = load(tap);
        for (int i = 0; i < Tile; ++i) sum[i] = hn::MulAdd(load(from + i * apart), weight, sum[i]);
      }
    }
    for (int i = 0; i < Tile; ++i) store(sum[i], y + i * lanes);
  }
}
/// Outputs of a tile, 4 to 8: those that divide a row with the least rest.
HWY_INLINE dim tile_of(dim width, dim step) {
  if (step != 1) return 4;
  const dim tiles = (width + 7) / 8;
  return std::max<dim>(4, (width + tiles - 1) / tiles);
}
inline HWY_NOINLINE void depthwise_row(const float* const* rows, dim kernel, const float* taps, const float* bias, dim width,
                                       dim step, float* y) {
  const dim tile = tile_of(width, step), tiles = (width + tile - 1) / tile;
  if (step != 1) return depthwise_tiles<4, 0>(rows, kernel, taps, bias, tiles, step, y);
  if (tile == 8) return depthwise_tiles<8, 1>(rows, kernel, taps, bias, tiles, 1, y);
  if (tile == 7) return depthwise_tiles<7, 1>(rows, kernel, taps, bias, tiles, 1, y);
  if (tile == 6) return depthwise_tiles<6, 1>(rows, kernel, taps, bias, tiles, 1, y);
  if (tile == 5) return depthwise_tiles<5, 1>(rows, kernel, taps, bias, tiles, 1, y);
  depthwise_tiles<4, 1>(rows, kernel, taps, bias, tiles, 1, y);
}

/// The weights of channels i .. i + n - 1 as (taps, lanes), in reverse order of the taps if `flipped`.
template <class At, class T>
HWY_INLINE void transpose_taps(At at, mat<const T> weight, bool flipped, float* taps) {
  const dim count = weight.cols;
  std::fill_n(taps, count * lanes, 0.0f);
  for (dim l = 0; l < at.n; ++l)
    for (dim t = 0; t < count; ++t) taps[t * lanes + l] = static_cast<float>(weight.row(at.i + l)[flipped ? count - 1 - t : t]);
}

/// Calls f(position, block) for the channels' vectors first, first + 1, ..
template <class F>
HWY_INLINE void each_block(dim channels, dim first, dim n, F&& f) {
  for (dim b = first; b < first + n; ++b) {
    if ((b + 1) * lanes <= channels) f(whole{b * lanes});
    else f(part{b * lanes, channels - b * lanes});
  }
}

/// Tasks first .. first + n - 1; images are inside of blocks of channels.
template <class T>
void depthwise(mat<const T> x, const depthwise_sizes& z, mat<const T> weight, bool flipped, mat<const T> bias, dim first, dim n,
               mat<T> y) {
  const dim images = x.rows / (z.height * z.width), k = z.kernel, rows = (z.height - 1) * z.spread + 1;
  const dim tile = tile_of(z.out_width, z.step), rounded = (z.out_width + tile - 1) / tile * tile;
  const dim width = std::max((rounded - 1) * z.step + k, z.pad + (z.width - 1) * z.spread + 1);
  float* taps = scratch((k * k + 1 + rounded) * lanes + seen_rows::floats(k, width));
  float *shift = taps + k * k * lanes, *out = shift + lanes;
  seen_rows seen{k, rows, z.spread, z.pad, width, out + rounded * lanes};
  seen.clear();
  dim held = -1;  // the block whose weights are in `taps`
  for (dim task = first; task < first + n; ++task) {
    each_block(x.cols, task / images, 1, [&](auto at) CLIPX_LANES {
      if (held != task / images) {
        transpose_taps(at, weight, flipped, taps);
        store(bias ? at.get(bias.data) : zero(), shift);
        held = task / images;
      }
      const auto pixels = x.row_range(task % images * z.height * z.width, z.height * z.width);
      T* to = y.row(task % images * z.out_height * z.out_width);
      seen.next = 0;
      for (dim oy = 0; oy < z.out_height; ++oy) {
        const float* in[64];
        seen.read(at, pixels, z.width, oy * z.step - z.pad + k);
        for (dim ky = 0; ky < k; ++ky) in[ky] = seen.at(oy * z.step - z.pad + ky);
        depthwise_row(in, k, taps, shift, z.out_width, z.step, out);
        for (dim ox = 0; ox < z.out_width; ++ox, to += y.ld) at.put(load(out + ox * lanes), to);
      }
    });
  }
}

/// sums (Taps, lanes) += for a row of output pixels, dy times the inputs that Taps adjacent taps saw.
template <int Taps>
HWY_NOINLINE void weight_sums(const float* x, const float* dy, dim width, dim step, float* sums) {
  vf sum[Taps];
  for (int t = 0; t < Taps; ++t) sum[t] = zero();
  for (dim ox = 0; ox < width; ++ox) {
    const auto g = load(dy + ox * lanes);
    for (int t = 0; t < Taps; ++t) sum[t] = hn::MulAdd(g, load(x + (ox * step + t) * lanes), sum[t]);
  }
  for (int t = 0; t < Taps; ++t) store(load(sums + t * lanes) + sum[t], sums + t * lanes);
}
/// dweight (taps, channels) of all images, for the channels' vectors first .. first + n - 1.
template <class T>
void depthwise_weights(mat<const T> x, const depthwise_sizes& z, mat<const T> dy, dim first, dim n, mat<float> dweight) {
  const dim images = x.rows / (z.height * z.width), k = z.kernel;
  const dim width = std::max((z.out_width - 1) * z.step + k, z.pad + z.width);
  float* sums = scratch((k * k + z.out_width) * lanes + seen_rows::floats(k, width));
  float* grad = sums + k * k * lanes;
  seen_rows seen{k, z.height, 1, z.pad, width, grad + z.out_width * lanes};
  seen.clear();
  each_block(x.cols, first, n, [&](auto at) CLIPX_LANES {
    std::fill_n(sums, k * k * lanes, 0.0f);
    for (dim img = 0; img < images; ++img) {
      const auto pixels = x.row_range(img * z.height * z.width, z.height * z.width);
      seen.next = 0;
      for (dim oy = 0; oy < z.out_height; ++oy) {
        const T* from = dy.row((img * z.out_height + oy) * z.out_width);
        for (dim ox = 0; ox < z.out_width; ++ox, from += dy.ld) store(at.get(from), grad + ox * lanes);
        seen.read(at, pixels, z.width, oy * z.step - z.pad + k);
        for (dim ky = 0; ky < k; ++ky) {
          const float* in = seen.at(oy * z.step - z.pad + ky);
          if (!in) continue;
          float* to = sums + ky * k * lanes;
          dim kx = 0;
          for (; kx + 7 <= k; kx += 7) weight_sums<7>(in + kx * lanes, grad, z.out_width, z.step, to + kx * lanes);
          for (; kx + 3 <= k; kx += 3) weight_sums<3>(in + kx * lanes, grad, z.out_width, z.step, to + kx * lanes);
          for (; kx < k; ++kx) weight_sums<1>(in + kx * lanes, grad, z.out_width, z.step, to + kx * lanes);
        }
      }
    }
    for (dim t = 0; t < k * k; ++t) at.put(load(sums + t * lanes), dweight.row(t));
  });
}

inline dim channel_blocks(dim channels) { return (channels + lanes - 1) / lanes; }

}  // namespace clipx::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#ifdef CLIPX_CPU_MEMBERS
namespace clipx::detail {

template <class T>
void cpu_depthwise<T>::depthwise_conv(mat<const T> x, const window& w, mat<const T> weight, mat<const T> bias, mat<T> y) {
  const dim images = x.rows / (w.height * w.width), tasks = images * CLIPX_KERNEL(channel_blocks)(x.cols);
  const dim work = y.rows / std::max<dim>(images, 1) * weight.cols;
  simd::parallel_ranges(this->threads_, tasks, work, 1, [&](dim first, dim n) {
    CLIPX_KERNEL(depthwise<T>)
    (x, {w.height, w.width, w.out_height(), w.out_width(), w.kernel, w.stride, 1, w.pad}, weight, false, bias, first, n, y);
  });
}

template <class T>
void cpu_depthwise<T>::depthwise_conv_backward(mat<const T> x, const window& w, mat<const T> weight, mat<const T> dy, mat<T> dx,
                                               mat<T> dweight) {
  const dim images = x.rows / (w.height * w.width), blocks = CLIPX_KERNEL(channel_blocks)(x.cols);
  if (images == 0) return;
  const dim in_pixels = w.height * w.width, out_pixels = w.out_height() * w.out_width(), work = out_pixels * weight.cols;
  if (dx)  // the same convolution with the taps in reverse order
    simd::parallel_ranges(this->threads_, images * blocks, work, 1, [&](dim first, dim n) {
      CLIPX_KERNEL(depthwise<T>)
      (dy, {w.out_height(), w.out_width(), w.height, w.width, w.kernel, 1, w.stride, w.kernel - 1 - w.pad}, weight, true, {}, first,
       n, dx);
    });
  // Sums over parts of the images, whose number does not depend on that of threads, are added in order.
  const dim parts = std::min<dim>(images, 8), taps = weight.cols;
  const mat<float> sums(simd::shared_floats(parts * taps * x.cols), parts * taps, x.cols);
  const simd::depthwise_sizes z{w.height, w.width, w.out_height(), w.out_width(), w.kernel, w.stride, 1, w.pad};
  simd::parallel_ranges(this->threads_, parts * blocks, work * images / parts, 1, [&](dim first, dim n) {
    for (dim task = first; task < first + n; ++task) {
      const dim p = task / blocks, from = images * p / parts, count = images * (p + 1) / parts - from;
      CLIPX_KERNEL(depthwise_weights<T>)
      (x.row_range(from * in_pixels, count * in_pixels), z, dy.row_range(from * out_pixels, count * out_pixels), task % blocks, 1,
       sums.row_range(p * taps, taps));
    }
  });
  for (dim c = 0; c < x.cols; ++c)
    for (dim t = 0; t < taps; ++t) {
      float sum = 0;
      for (dim p = 0; p < parts; ++p) sum += sums.row(p * taps + t)[c];
      dweight.row(c)[t] = T(static_cast<float>(dweight.row(c)[t]) + sum);
    }
}

CLIPX_CPU_DEFINED(cpu_depthwise);

}  // namespace clipx::detail
#endif
