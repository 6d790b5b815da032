// Sums over rows. A block sums a chunk of rows, one tile at a time, and a second kernel adds the chunks, both in an order that
// depends only on the shape.
#pragma once
#include "packs.cuh"

namespace clipx::gpu {

/// How a matrix of rows of packs is divided: blocks side by side, and at most `most` chunks of `taps` rows below one another.
struct strips {
  dim3 block;
  unsigned across;
  dim taps, chunks;
  strips(dim rows, dim packs, dim most) : block(pack_block(rows, packs)), across(blocks_for(packs, block.x)) {
    taps = std::max<dim>(4 * block.y, (rows + most - 1) / most);
    chunks = std::max<dim>(1, (rows + taps - 1) / taps);
  }
  dim3 grid(dim planes = 1) const { return {across, static_cast<unsigned>(chunks), static_cast<unsigned>(planes)}; }
};
inline constexpr dim summed = 512, written = 32768;  // `most`: for partial sums, which are added; for data that is only written
/// The calling thread's part of chunk blockIdx.y: columns col .. col + N - 1 of rows first, first + blockDim.y, ... before end.
struct part {
  dim col, first, end;
};
template <int N>
__device__ part of_chunk(dim rows, dim taps) {
  const dim begin = blockIdx.y * taps, end = begin + taps;
  return {(static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x) * N, begin + threadIdx.y, end < rows ? end : rows};
}

/// to[c] = the sum of v over the block's threads of column c, in the order of their rows. All threads must call it; `held` has a
/// pack for each of them.
template <int N>
__device__ void sum_down(const floats<N>& v, floats<N>* held, dim cols, float* to) {
  const unsigned thread = threadIdx.y * blockDim.x + threadIdx.x, width = blockDim.x * N;
  const dim left = static_cast<dim>(blockIdx.x) * width;
  __syncthreads();
  held[thread] = v;
  __syncthreads();
  for (unsigned t = thread; t < width && left + t < cols; t += blockDim.x * blockDim.y) {
    float sum = 0;
    for (unsigned y = 0; y < blockDim.y; ++y) sum += held[y * blockDim.x + t / N].at[t % N];
    to[left + t] = sum;
  }
}

/// The second kernels use blocks of 32 columns by `groups`.
inline constexpr unsigned groups = 16;
inline dim3 totals(dim cols, dim rows = 1) { return {blocks_for(cols, 32), static_cast<unsigned>(rows)}; }
__device__ inline dim total_column() { return static_cast<dim>(blockIdx.x) * 32 + threadIdx.x; }
/// The sum of `count` rows first, first + step, ... of column total_column() of x, in every thread of that column: each group takes
/// every 16th row, and the groups are added in order. All threads must call it; `held` is 32 * groups floats.
__device__ inline float total_down(mat<const float> x, dim first, dim step, dim count, float* held) {
  const dim c = total_column();
  float sum = 0;
  if (c < x.cols)
    for (dim k = threadIdx.y; k < count; k += groups) sum += x.row(first + k * step)[c];
  __syncthreads();
  held[threadIdx.y * 32 + threadIdx.x] = sum;
  __syncthreads();
  sum = 0;
  for (unsigned g = 0; g < groups; ++g) sum += held[g * 32 + threadIdx.x];
  return sum;
}

/// dw += the first half of the partial sums, db += the second; both are also stored in `sums` (2, cols) if given.
__global__ void add_partials(mat<const float> partial, dim chunks, mat<float> sums, mat<float> dw, mat<float> db) {
  CLIPX_SHARED(float[32 * groups], held);
  const dim c = total_column();
  const float w = total_down(partial, 0, 1, chunks, held), b = total_down(partial, chunks, 1, chunks, held);
  if (threadIdx.y != 0 || c >= dw.cols) return;
  dw.data[c] += w;
  db.data[c] += b;
  if (sums.data) {
    sums.row(0)[c] = w;
    sums.row(1)[c] = b;
  }
}
/// *to += the sum of n values, by one block.
__global__ void add_total(const float* values, dim n, float* to) {
  CLIPX_SHARED(float[33], partial);
  float total = 0;
  for (dim i = threadIdx.x; i < n; i += blockDim.x) total += values[i];
  total = block_sum(total, partial);
  if (threadIdx.x == 0) *to += total;
}

}  // namespace clipx::gpu
