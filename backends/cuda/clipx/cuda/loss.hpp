// The contrastive losses on a tile of cosines (I, J), S = exp(t) cosines with t on the device;
// the pair of row i is column i + shift.
#pragma once
#include "engine.hpp"

namespace clipx::detail {

template <class T>
class cuda_loss : cuda_family {
 public:
  using cuda_family::cuda_family;

  void xent_tile(mat<const float> cosines, mat<const float> log_scale, dim shift, mat<float> rows, mat<float> cols, mat<float> own);
  void xent_loss(mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own, mat<float> loss);
  void xent_tile_backward(const xent_tile_input<float>& in, mat<float> dcosines, mat<float> dlog_scale);
  void sigmoid_xent_tile(const sigmoid_tile_input<float>& in, const sigmoid_tile_output<float>& out);
};

}  // namespace clipx::detail

#ifdef CLIPX_CUDA_DEFINITIONS
#include "launch.cuh"

namespace clipx::gpu {

/// Merges (largest, sum of exp(. - largest)) into so_far.
__device__ inline void join(float high, float total, float* so_far) {
  const float top = fmaxf(so_far[0], high);
  so_far[1] = so_far[1] * expf(so_far[0] - top) + total * expf(high - top);  // so_far may still be (-inf, 0)
  so_far[0] = top;
}
/// Merges row blockIdx.x into so_far (I, 2); own (I, 1) receives the pair's cosine.
__global__ void xent_rows(mat<const float> cosines, const float* log_scale, dim shift, mat<float> so_far, mat<float> own) {
  CLIPX_SHARED(float[33], partial);
  const dim i = blockIdx.x, n = cosines.cols;
  const float scale = expf(*log_scale);
  const float* row = cosines.row(i);
  float top = -INFINITY, total = 0;
  for (dim k = threadIdx.x; k < n; k += blockDim.x) top = fmaxf(top, scale * row[k]);
  top = block_max(top, partial);
  for (dim k = threadIdx.x; k < n; k += blockDim.x) total += expf(fmaf(scale, row[k], -top));
  total = block_sum(total, partial);
  if (threadIdx.x) return;
  join(top, total, so_far.row(i));
  if (i + shift >= 0 && i + shift < n) own.row(i)[0] = row[i + shift];
}
/// Merges 32 columns per block, one per lane, into so_far (J, 2): each warp takes every eighth row, then the first warp merges the
/// results of the others.
inline constexpr unsigned column_warps = 8;
__global__ void xent_columns(mat<const float> cosines, const float* log_scale, mat<float> so_far) {
  CLIPX_SHARED(float[column_warps][2][32], parts);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const dim c = static_cast<dim>(blockIdx.x) * 32 + lane;
  const float scale = expf(*log_scale);
  float top = -INFINITY, total = 0;
  if (c < cosines.cols)
    for (dim r = warp; r < cosines.rows; r += column_warps) {
      const float logit = scale * cosines.row(r)[c], now = fmaxf(top, logit);
      total = total * expf(top - now) + expf(logit - now);
      top = now;
    }
  parts[warp][0][lane] = top;
  parts[warp][1][lane] = total;
  __syncthreads();
  if (warp || c >= cosines.cols) return;
  for (unsigned w = 0; w < column_warps && w < cosines.rows; ++w) join(parts[w][0][lane], parts[w][1][lane], so_far.row(c));
}
/// loss = (sum of row and column log-sum-exp - 2 trace S) / 2N, by one block;
/// the first column of rows and cols (N, 2) becomes the log-sum-exp.
__global__ void xent_loss(const float* log_scale, mat<float> rows, mat<float> cols, mat<const float> own, float* loss) {
  CLIPX_SHARED(float[33], partial);
  const dim n = rows.rows;
  const float scale = expf(*log_scale);
  float total = 0;
  for (dim i = threadIdx.x; i < n; i += blockDim.x) {
    const float pair = scale * own.row(i)[0];
    total += ((rows.row(i)[0] += logf(rows.row(i)[1])) - pair) + ((cols.row(i)[0] += logf(cols.row(i)[1])) - pair);
  }
  total = block_sum(total, partial);
  if (threadIdx.x == 0) *loss = total / (2.0f * static_cast<float>(n));
}
/// dcosines = exp(t) G, G = (P + Q - 2I) / 2N, and each row's term of dt = sum of G S. dcosines may be the cosines.
__global__ void xent_backward(mat<const float> cosines, const float* log_scale, mat<const float> rows, mat<const float> cols,
                              dim shift, float n, mat<float> dcosines, float* share) {
  CLIPX_SHARED(float[33], partial);
  const dim i = blockIdx.x;
  const float scale = expf(*log_scale), lse = rows.row(i)[0];
  float total = 0;
  for (dim j = threadIdx.x; j < cosines.cols; j += blockDim.x) {
    const float logit = scale * cosines.row(i)[j];
    const float g = (expf(logit - lse) + expf(logit - cols.row(j)[0]) - (j == i + shift ? 2.0f : 0.0f)) / (2.0f * n);
    dcosines.row(i)[j] = scale * g;
    total += g * logit;
  }
  total = block_sum(total, partial);
  if (threadIdx.x == 0) share[i] = total;
}
/// The sigmoid loss, S = exp(t) cosines + b, z = 1 for a pair, else -1: stores each row's sums of softplus(-z S) / N, of G (S - b)
/// and of G = -z sigma(-z S) / N in shares (3, I); dcosines = exp(t) G may be empty, or the cosines.
__global__ void sigmoid_xent(mat<const float> cosines, const float* log_scale, const float* bias, dim shift, float n,
                             mat<float> dcosines, mat<float> shares) {
  CLIPX_SHARED(float[33], partial);
  const dim i = blockIdx.x;
  const float scale = expf(*log_scale);
  float loss = 0, dt = 0, db = 0;
  for (dim j = threadIdx.x; j < cosines.cols; j += blockDim.x) {
    const float c = cosines.row(i)[j], z = j == i + shift ? 1.0f : -1.0f, logit = z * fmaf(scale, c, *bias),
                e = expf(-fabsf(logit));
    loss += (fmaxf(-logit, 0.0f) + log1pf(e)) / n;
    if (!dcosines.data) continue;
    const float g = -z * (logit > 0 ? e : 1.0f) / (1.0f + e) / n;
    dcosines.row(i)[j] = scale * g;
    dt += g * scale * c;
    db += g;
  }
  loss = block_sum(loss, partial);
  dt = block_sum(dt, partial);
  db = block_sum(db, partial);
  if (threadIdx.x == 0) {
    shares.row(0)[i] = loss;
    shares.row(1)[i] = dt;
    shares.row(2)[i] = db;
  }
}

}  // namespace clipx::gpu

namespace clipx::detail {

template <class T>
void cuda_loss<T>::xent_tile(mat<const float> cosines, mat<const float> log_scale, dim shift, mat<float> rows, mat<float> cols,
                             mat<float> own) {
  each_row(engine_, cosines.rows, gpu::xent_rows, cosines, log_scale.data, shift, rows, own);
  run(engine_, gpu::xent_columns, dim3(gpu::blocks_for(cosines.cols, 32)), 32 * gpu::column_warps, cosines, log_scale.data, cols);
}

template <class T>
void cuda_loss<T>::xent_loss(mat<const float> log_scale, mat<float> rows, mat<float> cols, mat<const float> own, mat<float> loss) {
  each_row(engine_, 1, gpu::xent_loss, log_scale.data, rows, cols, own, loss.data);
}

template <class T>
void cuda_loss<T>::xent_tile_backward(const xent_tile_input<float>& in, mat<float> dcosines, mat<float> dlog_scale) {
  const temporary here(memory());
  auto share = memory().template take<float>(1, in.cosines.rows);
  each_row(engine_, in.cosines.rows, gpu::xent_backward, in.cosines, in.log_scale.data, in.rows, in.columns, in.shift,
           static_cast<float>(in.N), dcosines, share.data);
  each_row(engine_, 1, gpu::add_total, static_cast<const float*>(share.data), in.cosines.rows, dlog_scale.data);
}

template <class T>
void cuda_loss<T>::sigmoid_xent_tile(const sigmoid_tile_input<float>& in, const sigmoid_tile_output<float>& out) {
  const temporary here(memory());
  auto shares = memory().template take<float>(3, in.cosines.rows);
  each_row(engine_, in.cosines.rows, gpu::sigmoid_xent, in.cosines, in.log_scale.data, in.bias.data, in.shift,
           static_cast<float>(in.N), out.dcosines, shares);
  for (dim what = 0; auto* to : {out.loss.data, out.dlog_scale.data, out.dbias.data}) {
    if (to) each_row(engine_, 1, gpu::add_total, static_cast<const float*>(shares.row(what)), in.cosines.rows, to);
    ++what;
  }
}

template class cuda_loss<float>;
template class cuda_loss<bf16>;

}  // namespace clipx::detail
#endif
