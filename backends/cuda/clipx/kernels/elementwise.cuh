// Element by element and row by row: conversions, sums, activations, embeddings.
#pragma once
#include "../runtime.cuh"

namespace clipx::gpu {

/// The calling thread's place in a grid of (column blocks, rows): one thread an element.
struct place {
  dim row, col;
};
inline constexpr unsigned line = 256;  // columns a block
__device__ inline place element() {
  return {static_cast<dim>(blockIdx.y) + static_cast<dim>(blockIdx.z) * gridDim.y,
          static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x};
}
/// The grid for rows x cols elements: rows beyond 65535 go on in z.
inline dim3 elements(dim rows, dim cols) {
  const unsigned y = static_cast<unsigned>(std::min<dim>(rows, 32768));
  return {blocks_for(cols, line), y, y ? blocks_for(rows, y) : 0};
}

/// y = x, from any storage to any.
template <class X, class Y>
__global__ void convert(mat<const X> x, mat<Y> y) {
  const auto [r, c] = element();
  if (r < y.rows && c < y.cols) y.row(r)[c] = stored<Y>(value(x.row(r)[c]));
}
template <class T>
__global__ void fill(mat<T> y, T v) {
  const auto [r, c] = element();
  if (r < y.rows && c < y.cols) y.row(r)[c] = v;
}
/// y = (rgb / 255 - mean) / deviation in float32, in this order, every step rounded.
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

/// y = alpha x + beta y; y is not read where beta is 0.
template <class T>
__global__ void add(float alpha, mat<const T> x, float beta, mat<T> y) {
  const auto [r, c] = element();
  if (r >= y.rows || c >= y.cols) return;
  const float v = alpha * value(x.row(r)[c]);
  y.row(r)[c] = stored<T>(beta == 0 ? v : v + beta * value(y.row(r)[c]));
}
/// y[r] += x[r mod x.rows]
template <class T>
__global__ void add_rows(mat<const T> x, mat<T> y) {
  const auto [r, c] = element();
  if (r < y.rows && c < y.cols) y.row(r)[c] = stored<T>(value(x.row(r % x.rows)[c]) + value(y.row(r)[c]));
}
template <class T>
__global__ void gather_rows(mat<const T> x, mat<const std::int32_t> ids, mat<T> y) {
  const auto [r, c] = element();
  if (r < y.rows && c < y.cols) y.row(r)[c] = x.row(ids.data[r])[c];
}
__global__ void clamp(mat<float> x, float low, float high) {
  const auto [r, c] = element();
  if (r < x.rows && c < x.cols) x.row(r)[c] = fminf(fmaxf(x.row(r)[c], low), high);
}

/// partial[(chunk, p)] = the sum of x's rows p, p + period, ... of one chunk of `taps` of them; one thread a column.
template <class T>
__global__ void sum_rows_partial(mat<const T> x, dim period, dim taps, mat<float> partial) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x, p = blockIdx.y, chunk = blockIdx.z;
  if (c >= x.cols) return;
  float sum = 0;
  for (dim k = chunk * taps; k < (chunk + 1) * taps; ++k) {
    const dim r = p + k * period;
    if (r < x.rows) sum += value(x.row(r)[c]);
  }
  partial.row(chunk * period + p)[c] = sum;
}
/// y[p] += the sum over chunks, in their order.
template <class T>
__global__ void sum_rows_total(mat<const float> partial, dim chunks, mat<T> y) {
  const auto [p, c] = element();
  if (p >= y.rows || c >= y.cols) return;
  float sum = 0;
  for (dim k = 0; k < chunks; ++k) sum += partial.row(k * y.rows + p)[c];
  y.row(p)[c] = stored<T>(value(y.row(p)[c]) + sum);
}
/// ids (1, n) by id, equal ones in their order: row 0 of `order` gets places, row 1 the ids. A thread counts what comes before its
/// own: n^2 reads of ids that all lie in the cache, and no device-wide sort.
__global__ void sort_ids(mat<const std::int32_t> ids, mat<std::int32_t> order) {
  const dim i = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= ids.cols) return;
  const std::int32_t own = ids.data[i];
  dim before = 0;
  for (dim k = 0; k < ids.cols; ++k) before += ids.data[k] < own || (ids.data[k] == own && k < i);
  order.row(0)[before] = static_cast<std::int32_t>(i), order.row(1)[before] = own;
}
/// y[id] += x[order[i]] for the run of i with this id: `order` lists x's rows by id, a block takes a run's first row and one
/// thread a column, so that sums have one order and nothing is added atomically.
template <class T>
__global__ void scatter_add_sorted(mat<const T> x, const std::int32_t* order, const std::int32_t* sorted, dim n, mat<T> y) {
  const dim i = blockIdx.y + static_cast<dim>(blockIdx.z) * gridDim.y, c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n || c >= y.cols || (i > 0 && sorted[i - 1] == sorted[i])) return;
  float sum = 0;
  for (dim k = i; k < n && sorted[k] == sorted[i]; ++k) sum += value(x.row(order[k])[c]);
  T& to = y.row(sorted[i])[c];
  to = stored<T>(value(to) + sum);
}

// Activations. quick_gelu(x) = x sigmoid(1.702 x); gelu is the erf form.
__device__ inline float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
__device__ inline float activate(activation f, float x) {
  if (f == activation::relu) return x > 0 ? x : x != x ? x : 0.0f;
  if (f == activation::gelu) return x * 0.5f * erfcf(-x * 0.70710678f);
  return x * sigmoid(1.702f * x);
}
__device__ inline float slope(activation f, float x) {
  if (f == activation::relu) return x > 0 ? 1.0f : 0.0f;
  if (f == activation::gelu) return 0.5f * erfcf(-x * 0.70710678f) + x * expf(-0.5f * x * x) * 0.39894228f;
  const float s = sigmoid(1.702f * x), rest = sigmoid(-1.702f * x);
  return s + 1.702f * x * s * rest;
}
template <class T>
__global__ void unary(activation f, mat<const T> x, mat<T> y) {
  const auto [r, c] = element();
  if (r < y.rows && c < y.cols) y.row(r)[c] = stored<T>(activate(f, value(x.row(r)[c])));
}
template <class T>
__global__ void unary_backward(activation f, mat<const T> x, mat<const T> dy, mat<T> dx) {
  const auto [r, c] = element();
  if (r < dx.rows && c < dx.cols) dx.row(r)[c] = stored<T>(slope(f, value(x.row(r)[c])) * value(dy.row(r)[c]));
}
/// What follows a matrix product u (bias included, as it is stored): y = f(u) + residual. y may be u or residual.
template <class T>
__global__ void act_add(mat<const T> u, bool has_f, activation f, mat<const T> residual, mat<T> y) {
  const auto [r, c] = element();
  if (r >= y.rows || c >= y.cols) return;
  float v = value(u.row(r)[c]);
  if (has_f) v = activate(f, v);
  if (residual.data) v += value(residual.row(r)[c]);
  y.row(r)[c] = stored<T>(v);
}

}  // namespace clipx::gpu
