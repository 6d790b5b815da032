// Elementwise and row verbs: sums, activations, gates, scaled columns, rotated pairs, pixels.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_elementwise : cuda_family {
 public:
  using cuda_family::cuda_family;

  void add(float alpha, mat<const T> x, float beta, mat<T> y);
  template <wider_float<T> A>
  void add(float alpha, mat<const std::type_identity_t<A>> x, float beta, mat<A> y);
  void pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y);
  void add_rows(mat<const T> x, mat<T> y);
  void sum_rows(mat<const T> x, mat<T> y);
  void unary(activation f, mat<const T> x, mat<T> y);
  void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx);
  void glu(activation f, mat<const T> u, mat<const T> v, mat<T> y);
  void glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv);
  void scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y);
  void scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, mat<T> dx, mat<float> dgamma);
  void rotate_pairs(mat<const T> x, mat<const float> table, mat<T> y) { rotate(x, table, 1, y); }
  void rotate_pairs_backward(mat<const T> dy, mat<const float> table, mat<T> dx) { rotate(dy, table, -1, dx); }
  void clamp(mat<float> x, double low, double high);

 private:
  void rotate(mat<const T> x, mat<const float> table, float direction, mat<T> y);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// y = (rgb / 255 - mean) / deviation in float32, in this order, each step rounded.
template <class T>
__global__ void pixels(mat<const std::uint8_t> rgb, float3 mean, float3 deviation, mat<T> y) {
  const dim r = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= y.rows) return;
  const std::uint8_t* from = rgb.row(r);
  const float means[3] = {mean.x, mean.y, mean.z}, deviations[3] = {deviation.x, deviation.y, deviation.z};
#pragma unroll
  for (int c = 0; c < 3; ++c)
    y.row(r)[c] = stored<T>(__fdiv_rn(__fsub_rn(__fdiv_rn(static_cast<float>(from[c]), 255.0f), means[c]), deviations[c]));
}

/// y = alpha x + beta y; y is not read if beta is 0.
template <int N, class T>
__global__ void add(float alpha, mat<const T> x, float beta, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  T* to = y.row(r) + c;
  auto v = map([=](float a) { return alpha * a; }, load<N>(x.row(r) + c));
  if (beta != 0) v = map([=](float a, float b) { return a + beta * b; }, v, load<N>(to));
  store(to, v);
}
/// y[r] += x[r mod x.rows]
template <int N, class T>
__global__ void add_rows(mat<const T> x, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  store(y.row(r) + c, load<N>(x.row(r % x.rows) + c) + load<N>(y.row(r) + c));
}
/// partial[(chunk, p)] = the sum of x's rows p, p + period, ... of one chunk of them.
template <int N, class T>
__global__ void sum_rows_partial(mat<const T> x, dim period, dim taps, mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const dim p = blockIdx.z;
  const auto [c, first, end] = of_chunk<N>((x.rows - p + period - 1) / period, taps);
  floats<N> sum{};
  if (c < x.cols)
    for (dim k = first; k < end; k += blockDim.y) sum = sum + load<N>(x.row(p + k * period) + c);
  sum_down(sum, held, x.cols, partial.row(blockIdx.y * period + p));
}
/// y[p] += the sum over chunks.
template <class T>
__global__ void sum_rows_total(mat<const float> partial, dim chunks, mat<T> y) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column(), p = blockIdx.y;
  const float sum = total_down(partial, p, y.rows, chunks, held);
  if (threadIdx.y == 0 && c < y.cols) y.row(p)[c] = stored<T>(value(y.row(p)[c]) + sum);
}
template <int N>
__global__ void clamp(mat<float> x, float low, float high) {
  const auto [r, c] = here<N>();
  if (r >= x.rows || c >= x.cols) return;
  store(x.row(r) + c, map([=](float v) { return fminf(fmaxf(v, low), high); }, load<N>(x.row(r) + c)));
}
template <int N, class T>
__global__ void unary(activation f, mat<const T> x, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r < y.rows && c < y.cols) store(y.row(r) + c, map([=](float v) { return activate(f, v); }, load<N>(x.row(r) + c)));
}
template <int N, class T>
__global__ void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  const auto [r, c] = here<N>();
  if (r >= dx.rows || c >= dx.cols) return;
  store(dx.row(r) + c, map([=](float v, float g) { return slope(f, v) * g; }, load<N>(x.row(r) + c), load<N>(dy.row(r) + c)));
}
/// y = f(u) v
template <int N, class T>
__global__ void glu(activation f, mat<const T> u, mat<const T> v, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  store(y.row(r) + c, map([=](float a, float b) { return activate(f, a) * b; }, load<N>(u.row(r) + c), load<N>(v.row(r) + c)));
}
template <int N, class T>
__global__ void glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv) {
  const auto [r, c] = here<N>();
  if (r >= dy.rows || c >= dy.cols) return;
  const auto a = load<N>(u.row(r) + c), g = load<N>(dy.row(r) + c);
  store(du.row(r) + c, map([=](float x, float b, float d) { return slope(f, x) * b * d; }, a, load<N>(v.row(r) + c), g));
  store(dv.row(r) + c, map([=](float x, float d) { return activate(f, x) * d; }, a, g));
}
/// Pairs (a, b) become (a cos - b sin, b cos + a sin), with `direction` times the sine; N is even, or 1, where a thread takes a
/// pair.
template <int N, class T>
__global__ void rotate_pairs(mat<const T> x, mat<const float> table, float direction, mat<T> y) {
  constexpr int values = N == 1 ? 2 : N;
  const auto [r, c] = here<values>();
  if (r >= y.rows || c >= y.cols) return;
  const T* from = x.row(r) + c;
  const float* turn = table.row(r % table.rows) + c % table.cols;
  T* to = y.row(r) + c;
  const auto rotated = [=](const floats<values>& v, const floats<values>& t) {
    floats<values> out;
#pragma unroll
    for (int i = 0; i < values; i += 2) {
      const float cosine = t.at[i], sine = direction * t.at[i + 1];
      out.at[i] = fmaf(v.at[i], cosine, -v.at[i + 1] * sine);
      out.at[i + 1] = fmaf(v.at[i + 1], cosine, v.at[i] * sine);
    }
    return out;
  };
  if constexpr (N == 1) {
    const auto out = rotated({value(from[0]), value(from[1])}, {turn[0], turn[1]});
    to[0] = stored<T>(out.at[0]);
    to[1] = stored<T>(out.at[1]);
  } else {
    store(to, rotated(load<N>(from), load<N>(turn)));
  }
}
/// y[r][c] = x[r][c] gamma[c]
template <int N, class T>
__global__ void scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y) {
  const auto [r, c] = here<N>();
  if (r >= y.rows || c >= y.cols) return;
  store(y.row(r) + c, map([](float v, float g) { return v * g; }, load<N>(x.row(r) + c), load<N>(gamma.data + c)));
}
/// dx = dy gamma; partial[chunk] = the sum of dy x over one chunk of rows.
template <int N, class T>
__global__ void scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, dim taps, mat<T> dx,
                                       mat<float> partial) {
  CLIPX_SHARED(floats<N>[pack_threads], held);
  const auto [c, first, end] = of_chunk<N>(x.rows, taps);
  floats<N> dot{};
  if (c < x.cols) {
    const auto scale = load<N>(gamma.data + c);
    for (dim r = first; r < end; r += blockDim.y) {
      const auto g = load<N>(dy.row(r) + c);
      dot = map([](float s, float a, float v) { return fmaf(a, v, s); }, dot, g, load<N>(x.row(r) + c));
      store(dx.row(r) + c, map([](float a, float s) { return a * s; }, g, scale));
    }
  }
  sum_down(dot, held, x.cols, partial.row(blockIdx.y));
}

}  // namespace clipx::gpu

namespace clipx::detail {

template <class T>
void cuda_elementwise<T>::add(float alpha, mat<const T> x, float beta, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::add<n(), T>; }, alpha, x, beta, y);
}
template <class T>
template <wider_float<T> A>
void cuda_elementwise<T>::add(float alpha, mat<const std::type_identity_t<A>> x, float beta, mat<A> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::add<n(), A>; }, alpha, x, beta, y);
}
template <class T>
void cuda_elementwise<T>::pixels(mat<const std::uint8_t> rgb, std::array<float, 3> mean, std::array<float, 3> std, mat<T> y) {
  run(engine_, gpu::pixels<T>, dim3(gpu::blocks_for(y.rows, 256)), 256, rgb, make_float3(mean[0], mean[1], mean[2]),
      make_float3(std[0], std[1], std[2]), y);
}

template <class T>
void cuda_elementwise<T>::add_rows(mat<const T> x, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::add_rows<n(), T>; }, x, y);
}

template <class T>
void cuda_elementwise<T>::sum_rows(mat<const T> x, mat<T> y) {
  if (y.size() == 0) return;
  const temporary here(memory());
  const auto go = [&](auto n) {
    const gpu::strips cut((x.rows + y.rows - 1) / y.rows, x.cols / n(), gpu::summed);
    auto partial = memory().template take<float>(cut.chunks * y.rows, y.cols);
    run(engine_, gpu::sum_rows_partial<n(), T>, cut.grid(y.rows), cut.block, x, y.rows, cut.taps, partial);
    each_column(engine_, y.rows, y.cols, gpu::sum_rows_total<T>, mat<const float>(partial), cut.chunks, y);
  };
  by_width(x.cols, go, x);
}

template <class T>
void cuda_elementwise<T>::unary(activation f, mat<const T> x, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::unary<n(), T>; }, f, x, y);
}

template <class T>
void cuda_elementwise<T>::unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  each_pack(
      engine_, dx.rows, dx.cols, [](auto n) { return gpu::unary_backward<n(), T>; }, f, x, dy, dx);
}

template <class T>
void cuda_elementwise<T>::glu(activation f, mat<const T> u, mat<const T> v, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::glu<n(), T>; }, f, u, v, y);
}

template <class T>
void cuda_elementwise<T>::glu_backward(activation f, mat<const T> u, mat<const T> v, mat<const T> dy, mat<T> du, mat<T> dv) {
  each_pack(
      engine_, dy.rows, dy.cols, [](auto n) { return gpu::glu_backward<n(), T>; }, f, u, v, dy, du, dv);
}

template <class T>
void cuda_elementwise<T>::scale_columns(mat<const T> x, mat<const float> gamma, mat<T> y) {
  each_pack(
      engine_, y.rows, y.cols, [](auto n) { return gpu::scale_columns<n(), T>; }, x, gamma, y);
}

template <class T>
void cuda_elementwise<T>::scale_columns_backward(mat<const T> x, mat<const float> gamma, mat<const T> dy, mat<T> dx,
                                                 mat<float> dgamma) {
  if (x.size() == 0) return;
  const temporary here(memory());
  const auto go = [&](auto n) {
    const gpu::strips cut(x.rows, x.cols / n(), gpu::summed);
    auto partial = memory().template take<float>(cut.chunks, x.cols);
    run(engine_, gpu::scale_columns_backward<n(), T>, cut.grid(), cut.block, x, gamma, dy, cut.taps, dx, partial);
    each_column(engine_, 1, x.cols, gpu::sum_rows_total<float>, mat<const float>(partial), cut.chunks, dgamma);
  };
  by_width(x.cols, go, x, gamma, dy, dx);
}

template <class T>
void cuda_elementwise<T>::rotate(mat<const T> x, mat<const float> table, float direction, mat<T> y) {
  const auto go = [&](auto n) {
    const dim packs = y.cols / std::max(n(), 2);
    const dim3 block = gpu::pack_block(y.rows, packs);
    run(engine_, gpu::rotate_pairs<n(), T>, gpu::pack_grid(y.rows, packs, block), block, x, table, direction, y);
  };
  constexpr int n = gpu::vector_width<mat<T>>;
  if (gpu::vectorizable<n>(table.cols, table)) by_width(y.cols, go, x, y);  // then no pack reaches into the table's next repetition
  else go(std::integral_constant<int, 1>());
}

template <class T>
void cuda_elementwise<T>::clamp(mat<float> x, double low, double high) {
  each_pack(
      engine_, x.rows, x.cols, [](auto n) { return gpu::clamp<n()>; }, x, static_cast<float>(low), static_cast<float>(high));
}

template void cuda_elementwise<bf16>::add(float, mat<const float>, float, mat<float>);

template class cuda_elementwise<float>;
template class cuda_elementwise<bf16>;

}  // namespace clipx::detail
#endif
