// LayerNorm (a block a row), BatchNorm (a thread a column), unit rows and softmax. Statistics in float.
#pragma once
#include "elementwise.cuh"

namespace clipx::gpu {

inline constexpr unsigned row_threads = 256;

/// y = (x - mean) / sqrt(var + eps) w + b; stats (rows, 2) receives mean and 1 / deviation, may be empty. With a branch,
/// x + branch is stored in `sum` first, and it is the stored sum that is normalised.
template <class T>
__global__ void layernorm(mat<const T> x, mat<const T> branch, mat<T> sum, mat<const float> w, mat<const float> b, float eps,
                          mat<T> y, mat<float> stats) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x, n = x.cols;
  const T* from = x.row(r);
  if (branch.data) {
    T* to = sum.row(r);
    for (dim c = threadIdx.x; c < n; c += blockDim.x) to[c] = stored<T>(value(from[c]) + value(branch.row(r)[c]));
    from = to;  // each thread reads what it wrote
  }
  float total = 0, squares = 0;
  for (dim c = threadIdx.x; c < n; c += blockDim.x) total += value(from[c]);
  const float mean = block_sum(total, partial) / static_cast<float>(n);
  for (dim c = threadIdx.x; c < n; c += blockDim.x) {
    const float v = value(from[c]) - mean;
    squares = fmaf(v, v, squares);
  }
  const float rstd = 1.0f / sqrtf(block_sum(squares, partial) / static_cast<float>(n) + eps);
  for (dim c = threadIdx.x; c < n; c += blockDim.x)
    y.row(r)[c] = stored<T>(fmaf((value(from[c]) - mean) * rstd, w.data[c], b.data[c]));
  if (stats.data && threadIdx.x == 0) stats.row(r)[0] = mean, stats.row(r)[1] = rstd;
}

/// g = dy w, xhat = (x - mean) rstd: dx = rstd (g - mean g - xhat mean(g xhat)).
template <class T>
__global__ void layernorm_backward(mat<const T> x, mat<const float> w, mat<const float> stats, mat<const T> dy, mat<T> dx) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x, n = x.cols;
  const float mean = stats.row(r)[0], rstd = stats.row(r)[1];
  float all = 0, dot = 0;
  for (dim c = threadIdx.x; c < n; c += blockDim.x) {
    const float g = value(dy.row(r)[c]) * w.data[c];
    all += g, dot = fmaf(g, (value(x.row(r)[c]) - mean) * rstd, dot);
  }
  all = block_sum(all, partial) / static_cast<float>(n), dot = block_sum(dot, partial) / static_cast<float>(n);
  for (dim c = threadIdx.x; c < n; c += blockDim.x) {
    const float g = value(dy.row(r)[c]) * w.data[c];
    dx.row(r)[c] = stored<T>(rstd * fmaf((mean - value(x.row(r)[c])) * rstd, dot, g - all));
  }
}
/// Partial sums of dy xhat (rows 0 .. chunks - 1 of `partial`) and of dy (rows chunks ..), a chunk of rows a block.
template <class T>
__global__ void layernorm_columns(mat<const T> x, mat<const float> stats, mat<const T> dy, dim taps, dim chunks,
                                  mat<float> partial) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x, chunk = blockIdx.y;
  if (c >= x.cols) return;
  float dw = 0, db = 0;
  for (dim r = chunk * taps; r < x.rows && r < (chunk + 1) * taps; ++r) {
    const float g = value(dy.row(r)[c]);
    dw = fmaf(g, (value(x.row(r)[c]) - stats.row(r)[0]) * stats.row(r)[1], dw), db += g;
  }
  partial.row(chunk)[c] = dw, partial.row(chunks + chunk)[c] = db;
}
/// dw += the first half of the partial sums, db += the second, in the order of the chunks.
__global__ void add_partials(mat<const float> partial, dim chunks, mat<float> dw, mat<float> db) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= dw.cols) return;
  float a = 0, b = 0;
  for (dim k = 0; k < chunks; ++k) a += partial.row(k)[c], b += partial.row(chunks + k)[c];
  dw.data[c] += a, db.data[c] += b;
}

/// Sums of x (first pass) or of (x - mean)^2 over a chunk of rows.
template <class T>
__global__ void column_partial(mat<const T> x, const float* mean, dim taps, mat<float> partial) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x, chunk = blockIdx.y;
  if (c >= x.cols) return;
  float sum = 0;
  for (dim r = chunk * taps; r < x.rows && r < (chunk + 1) * taps; ++r) {
    const float v = value(x.row(r)[c]);
    sum = mean ? fmaf(v - mean[c], v - mean[c], sum) : sum + v;
  }
  partial.row(chunk)[c] = sum;
}
__global__ void column_mean(mat<const float> partial, dim chunks, dim rows, float* out) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= partial.cols) return;
  float sum = 0;
  for (dim k = 0; k < chunks; ++k) sum += partial.row(k)[c];
  out[c] = sum / static_cast<float>(rows);
}
/// stats (2, cols): mean and biased variance.
template <class T>
__global__ void batchnorm(mat<const T> x, mat<const float> stats, mat<const float> w, mat<const float> b, float eps, mat<T> y) {
  const auto [r, c] = element();
  if (r >= y.rows || c >= y.cols) return;
  const float rstd = 1.0f / sqrtf(stats.row(1)[c] + eps);
  y.row(r)[c] = stored<T>(fmaf(value(x.row(r)[c]) - stats.row(0)[c], rstd * w.data[c], b.data[c]));
}
/// As layernorm_columns, with the statistics of the column.
template <class T>
__global__ void batchnorm_columns(mat<const T> x, mat<const float> stats, float eps, mat<const T> dy, dim taps, dim chunks,
                                  mat<float> partial) {
  const dim c = static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x, chunk = blockIdx.y;
  if (c >= x.cols) return;
  const float mean = stats.row(0)[c], rstd = 1.0f / sqrtf(stats.row(1)[c] + eps);
  float dot = 0, all = 0;
  for (dim r = chunk * taps; r < x.rows && r < (chunk + 1) * taps; ++r) {
    const float g = value(dy.row(r)[c]);
    dot = fmaf(g, (value(x.row(r)[c]) - mean) * rstd, dot), all += g;
  }
  partial.row(chunk)[c] = dot, partial.row(chunks + chunk)[c] = all;
}
/// dx = w rstd (dy - mean(dy) - xhat mean(dy xhat)); sums (2, cols) of dy xhat and of dy, empty where the statistics are not x's.
template <class T>
__global__ void batchnorm_backward(mat<const T> x, mat<const float> stats, mat<const float> w, float eps, mat<const float> sums,
                                   mat<const T> dy, mat<T> dx) {
  const auto [r, c] = element();
  if (r >= dx.rows || c >= dx.cols) return;
  const float rstd = 1.0f / sqrtf(stats.row(1)[c] + eps), n = static_cast<float>(x.rows);
  float g = value(dy.row(r)[c]);
  if (sums.data) g -= sums.row(1)[c] / n + (value(x.row(r)[c]) - stats.row(0)[c]) * rstd * sums.row(0)[c] / n;
  dx.row(r)[c] = stored<T>(w.data[c] * rstd * g);
}

/// Unit rows and their lengths, floor 1e-12.
template <class T>
__global__ void normalize(mat<const T> x, mat<float> y, mat<float> lengths) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float squares = 0;
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) squares += value(x.row(r)[c]) * value(x.row(r)[c]);
  float length = sqrtf(block_sum(squares, partial));
  if (length < 1e-12f) length = 1e-12f;
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) y.row(r)[c] = value(x.row(r)[c]) / length;
  if (threadIdx.x == 0) lengths.row(r)[0] = length;
}
template <class T>
__global__ void normalize_backward(mat<const float> y, mat<const float> lengths, mat<const float> dy, mat<T> dx) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float dot = 0;
  for (dim c = threadIdx.x; c < y.cols; c += blockDim.x) dot += dy.row(r)[c] * y.row(r)[c];
  dot = block_sum(dot, partial);
  for (dim c = threadIdx.x; c < y.cols; c += blockDim.x)
    dx.row(r)[c] = stored<T>((dy.row(r)[c] - dot * y.row(r)[c]) / lengths.row(r)[0]);
}

/// Rows in place; causal: row i sees columns <= i, the rest becomes 0.
__global__ void softmax(mat<float> x, bool causal) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x, n = causal && r + 1 < x.cols ? r + 1 : x.cols;
  float* row = x.row(r);
  float top = -INFINITY, total = 0;
  for (dim c = threadIdx.x; c < n; c += blockDim.x) top = fmaxf(top, row[c]);
  top = block_max(top, partial);
  for (dim c = threadIdx.x; c < n; c += blockDim.x) total += row[c] = expf(row[c] - top);
  total = block_sum(total, partial);
  for (dim c = threadIdx.x; c < x.cols; c += blockDim.x) row[c] = c < n ? row[c] / total : 0.0f;
}
/// dp <- p (dp - sum p dp).
__global__ void softmax_backward(mat<const float> p, mat<float> dp) {
  CLIPX_SHARED(float[33], partial);
  const dim r = blockIdx.x;
  float dot = 0;
  for (dim c = threadIdx.x; c < p.cols; c += blockDim.x) dot += p.row(r)[c] * dp.row(r)[c];
  dot = block_sum(dot, partial);
  for (dim c = threadIdx.x; c < p.cols; c += blockDim.x) dp.row(r)[c] = p.row(r)[c] * (dp.row(r)[c] - dot);
}

}  // namespace clipx::gpu
