// Rows of values: a thread takes N adjacent ones, 16 bytes at a time if every view of a kernel allows it (vectorizable), else N is
// 1. And the activations.
#pragma once
#include <bit>

#include "runtime.cuh"

namespace clipx::gpu {

/// N adjacent values, moved together.
template <class T, int N>
struct alignas(std::min<std::size_t>(16, N * sizeof(T))) pack {
  T at[N];
};
template <int N>
using floats = pack<float, N>;

template <int N, class T>
__device__ const pack<T, N>& packed(const T* p) {
  return *reinterpret_cast<const pack<T, N>*>(p);
}
/// Two bf16, the first in the lower half of the word.
__device__ inline unsigned word(float first, float second) {
#ifdef CLIPX_CUDA_EMULATION
  return stored<bf16>(first).bits | static_cast<unsigned>(stored<bf16>(second).bits) << 16;
#else
  unsigned w;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(w) : "f"(second), "f"(first));
  return w;
#endif
}
/// Loads and stores N values; 8 bf16 are moved as one uint4, which the compiler does not split.
template <int N, class T>
__device__ floats<N> load(const T* p) {
  if constexpr (std::is_same_v<T, float>) {
    return packed<N>(p);
  } else if constexpr (N == 1) {
    return {value(*p)};
  } else {
    static_assert(N == 8);
    const auto w = *reinterpret_cast<const uint4*>(p);
    const auto first = [](unsigned v) { return __uint_as_float(v << 16); };
    const auto second = [](unsigned v) { return __uint_as_float(v & 0xffff0000u); };
    return {first(w.x), second(w.x), first(w.y), second(w.y), first(w.z), second(w.z), first(w.w), second(w.w)};
  }
}
template <class T, int N>
__device__ void store(T* p, const pack<T, N>& v) {
  *reinterpret_cast<pack<T, N>*>(p) = v;
}
template <int N>
__device__ void store(bf16* p, const floats<N>& v) {
  if constexpr (N == 1) {
    *p = stored<bf16>(v.at[0]);
  } else {
    static_assert(N == 8);
    *reinterpret_cast<uint4*>(p) =
        make_uint4(word(v.at[0], v.at[1]), word(v.at[2], v.at[3]), word(v.at[4], v.at[5]), word(v.at[6], v.at[7]));
  }
}
/// f of each value and the corresponding values in `more`.
template <class F, int N, class... More>
__device__ floats<N> map(F f, const floats<N>& v, const More&... more) {
  floats<N> out;
#pragma unroll
  for (int i = 0; i < N; ++i) out.at[i] = f(v.at[i], more.at[i]...);
  return out;
}
template <int N>
__device__ floats<N> operator+(const floats<N>& a, const floats<N>& b) {
  return map([](float v, float w) { return v + w; }, a, b);
}

/// How many values fit into 16 bytes, for the narrowest type among a kernel's arguments.
template <class... A>
inline constexpr int vector_width = (std::is_same_v<std::decay_t<A>, mat<bf16>> || ...) ||
                                            (std::is_same_v<std::decay_t<A>, mat<const bf16>> || ...)
                                        ? 8
                                        : 4;
/// Whether rows of `cols` values can be processed N at a time in this argument of a kernel. Views of another width are not
/// processed this way; an empty view can be.
template <int N, class V>
bool vectorizable(dim, const V&) {
  return true;
}
template <int N, class E>
bool vectorizable(dim cols, const mat<E>& v) {
  constexpr std::size_t bytes = alignof(pack<std::remove_const_t<E>, N>);
  return v.cols != cols || (cols % N == 0 && reinterpret_cast<std::uintptr_t>(v.data) % bytes == 0 &&
                            static_cast<std::size_t>(v.ld) * sizeof(E) % bytes == 0);
}

/// Blocks of `pack_threads` over rows of packs: one thread per pack, with enough rows per block to fill its warps.
inline constexpr unsigned pack_threads = 256;
inline dim3 pack_block(dim rows, dim packs) {
  unsigned x = std::min(32u, std::bit_ceil(static_cast<unsigned>(std::min<dim>(packs, 32))));
  while (x < pack_threads && pack_threads / x > rows) x *= 2;
  return {x, pack_threads / x};
}
/// The grid of such blocks: rows beyond the limit of y continue in z.
inline dim3 pack_grid(dim rows, dim packs, dim3 block) {
  const unsigned down = blocks_for(rows, block.y), y = std::min(down, 32768u);
  return {blocks_for(packs, block.x), y, y ? blocks_for(down, y) : 0};
}
/// The calling thread's position in it: the first of its N values.
struct place {
  dim row, col;
};
template <int N>
__device__ place here() {
  return {(static_cast<dim>(blockIdx.y) + static_cast<dim>(blockIdx.z) * gridDim.y) * blockDim.y + threadIdx.y,
          (static_cast<dim>(blockIdx.x) * blockDim.x + threadIdx.x) * N};
}

// Activations. quick_gelu(x) = x sigmoid(1.702 x); silu(x) = x sigmoid(x); gelu is the erf form; gelu_tanh(x) = x sigmoid(2 u).
__device__ inline float sigmoid(float v) { return 1.0f / (1.0f + expf(-v)); }
__device__ inline float twice_u(float x) { return x * fmaf(x * x, 0.0713548163f, 1.5957691216f); }
__device__ inline float factor(activation f) { return f == activation::silu ? 1.0f : 1.702f; }
__device__ inline float activate(activation f, float x) {
  if (f == activation::relu) return x > 0 ? x : x != x ? x : 0.0f;
  if (f == activation::gelu) return x * 0.5f * erfcf(-x * 0.70710678f);
  return x * sigmoid(f == activation::gelu_tanh ? twice_u(x) : factor(f) * x);
}
__device__ inline float slope(activation f, float x) {
  if (f == activation::relu) return x > 0 ? 1.0f : 0.0f;
  if (f == activation::gelu) return 0.5f * erfcf(-x * 0.70710678f) + x * expf(-0.5f * x * x) * 0.39894228f;
  const float z = f == activation::gelu_tanh ? twice_u(x) : factor(f) * x, s = sigmoid(z), rest = sigmoid(-z);
  return s + (f == activation::gelu_tanh ? fmaf(x * x, 0.2140644488f, 1.5957691216f) : factor(f)) * x * s * rest;
}

}  // namespace clipx::gpu
