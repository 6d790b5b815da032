// What the kernels of all instruction sets share: the table through which they are reached, and memory for their intermediates.
// A table entry works on what one thread was given; the wrappers in kernels-inl.h share the work out.
#pragma once
#include <algorithm>
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/error.hpp>
#include <clipx/core/resampler.hpp>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <string_view>

namespace clipx::simd {

/// The best instruction set that may be used: CLIPX_MAX_ISA=AVX512, AVX2 or SSE4 in the environment has this processor stand for
/// an older one. Read once. Header-only kernels are compiled for one set, so there it limits oneDNN alone.
enum class isa { sse4, avx2, avx512, any };
inline isa most_isa() {
  static const isa most = [] {
    const char* text = std::getenv("CLIPX_MAX_ISA");
    const std::string_view name = text ? text : "";
    if (name.empty()) return isa::any;
    if (name == "AVX512") return isa::avx512;
    if (name == "AVX2") return isa::avx2;
    expect(name == "SSE4", [&] { return cat("CLIPX_MAX_ISA: expected AVX512, AVX2 or SSE4, got ", name); });
    return isa::sse4;
  }();
  return most;
}

/// Numbers of one AdamW step, as the kernels want them: rest = 1 - beta, wide = 1 / sqrt(1 - beta2^count), keep = 1 - lr decay.
struct adamw_numbers {
  float b1, b2, rest1, rest2, rate, wide, eps, keep, clip;
};

template <class T>
struct table {
  using in = mat<const T>;
  using out = mat<T>;
  using in_f = mat<const float>;
  using out_f = mat<float>;

  void (*widen)(in x, out_f y);
  void (*narrow)(in_f x, out y);
  void (*add)(float alpha, in x, float beta, out y);
  void (*add_rows)(in x, dim first, out y);  // y's rows are first, first + 1, ... of the whole
  void (*sum_rows)(in x, out y);
  void (*sum_listed)(in x, const std::int32_t* rows, dim n, T* y);  // y += x[rows[0]] + ... + x[rows[n - 1]]
  void (*unary)(activation f, in x, out y);
  void (*unary_backward)(activation f, in x, in dy, out dx);
  void (*bias_act)(in x, const T* bias, const activation* f, in residual, out y, out pre);
  void (*bias_act_wide)(in_f x, const T* bias, const activation* f, in residual, out y, out pre);

  void (*layernorm)(in x, in_f w, in_f b, float eps, out y, out_f stats);
  void (*layernorm_backward)(in x, in_f w, in_f stats, in dy, in residual, out dx);
  void (*layernorm_columns)(in x, in_f stats, in dy, out_f sums);  // (2, cols): of dy xhat, and of dy
  void (*add_layernorm)(in x, in branch, in_f w, in_f b, float eps, out sum, out y, out_f stats);
  void (*column_stats)(in x, out_f stats);
  void (*batchnorm)(in x, in_f stats, in_f w, in_f b, float eps, in residual, bool relu, out y);
  void (*batchnorm_columns)(in x, in_f stats, float eps, in y, in dy, out dz, out_f sums);  // (2, cols): of dz xhat, and of dz
  void (*batchnorm_backward)(in x, in_f stats, in_f w, float eps, in_f means, in y, in dy, out dx);
  void (*normalize)(in x, out_f y, out_f lengths);
  void (*normalize_backward)(in_f y, in_f lengths, in_f dy, out dx);

  void (*avgpool)(in x, const window& w, dim first, out y);  // rows first, first + 1, ... of the pooled picture rows
  void (*avgpool_backward)(in dy, const window& w, dim first, out dx);

  float (*sum_squares)(const T* x, dim n);
  void (*adamw)(const adamw_numbers& k, in grad, out_f p, out_f m, out_f v, out copy);

  // One sequence and head; lse (Lq, 1) may be empty.
  void (*attention)(in q, in k, in v, bool causal, out y, out_f lse);
  void (*attention_backward)(in q, in k, in v, bool causal, in y, in_f lse, in dy, out dq, out dk, out dv);
};

/// The entries that see only float.
struct float_table {
  using in_f = mat<const float>;
  using out_f = mat<float>;
  void (*softmax)(out_f x, bool causal, dim first);
  void (*softmax_backward)(in_f p, out_f dp);
  void (*xent_rows)(in_f cosines, float scale, out_f so_far);     // (rows, 2)
  void (*xent_columns)(in_f cosines, float scale, out_f so_far);  // (cols, 2)
  void (*xent_backward)(in_f cosines, float scale, dim shift, dim N, in_f rows, const float* across, out_f dcosines, float* sums);
  void (*sigmoid_rows)(in_f cosines, float scale, float bias, dim shift, dim N, out_f dcosines, out_f sums);
  decltype(resampler::horizontal) horizontal;
  decltype(resampler::vertical) vertical;
  const char* name;  // of the instruction set
};

/// f(i) for i < n on up to `threads` threads, whoever is free takes the next; what f throws reaches the caller.
template <class F>
void each(int threads, dim n, F&& f) {
  if (threads <= 1 || n <= 1) {
    for (dim i = 0; i < n; ++i) f(i);
    return;
  }
  std::exception_ptr thrown;
#ifdef _OPENMP
#pragma omp parallel for num_threads(static_cast <int>(std::min <dim>(threads, n))) schedule(dynamic)
#endif
  for (dim i = 0; i < n; ++i) try {
      f(i);
    } catch (...) {
#ifdef _OPENMP
#pragma omp critical(clipx_thrown)
#endif
      thrown = std::current_exception();
    }
  if (thrown) std::rethrow_exception(thrown);
}

/// At least n floats, aligned for any vector, the same memory at each call on one thread. Not zeroed.
inline float* scratch(dim n) {
  struct memory {
    float* data = nullptr;
    dim size = 0;
    ~memory() { ::operator delete(data, std::align_val_t(256)); }
  };
  thread_local memory m;
  if (m.size < n) {
    const dim size = n + n / 4;
    auto* p = static_cast<float*>(::operator new(static_cast<std::size_t>(size) * sizeof(float), std::align_val_t(256)));
    ::operator delete(m.data, std::align_val_t(256));
    m.data = p, m.size = size;
  }
  return m.data;
}

}  // namespace clipx::simd
