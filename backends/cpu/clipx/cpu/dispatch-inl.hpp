// Compiles the kernels for each instruction set by Highway's foreach_target, and CLIPX_KERNEL, which picks at run time.
//
// Highway wants foreach_target before hwy/highway.h, and once in a translation unit: header-only, clipx/cpu.hpp comes before
// hwy/highway.h, and a unit with a foreach_target of its own uses clipx::cpu-compiled, or leaves clipx/cpu.hpp to another unit.
#pragma once
#if defined(HWY_NAMESPACE) || defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#error "clipx/cpu.hpp, header-only, must be included before hwy/highway.h and hwy/foreach_target.h; or link clipx::cpu-compiled"
#endif
// On x86 AVX-512 (which Highway calls AVX3), AVX2, SSE4 and what the compiler was told to assume. Left out: what adds compile time
// and no speed here (all targets above AVX3, and SSSE3), and vectors whose size is not known at compile time, of which there can be
// no arrays.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS ((HWY_AVX3 - 1) | HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "clipx/cpu/kernels-inl.hpp"
#include <hwy/foreach_target.h>
#undef HWY_TARGET_INCLUDE
//
#include "isa.hpp"
#include "kernels-inl.hpp"  // once more, for the set that the compiler was told to assume

namespace clipx::simd {

/// A kernel as compiled for one of Highway's targets.
template <class F>
struct variant {
  std::int64_t target;
  F kernel;
};

/// Highway's targets that may be used here: those of the processor, as far as CLIPX_MAX_ISA allows. On x86 a target is a bit, a
/// better one lower.
inline std::int64_t usable_targets() {
  const std::int64_t here = hwy::SupportedTargets();
  switch (most_isa()) {
    case isa::sse4:
      return here & ~(HWY_SSE4 - 1);
    case isa::avx2:
      return here & ~(HWY_AVX2 - 1);
    case isa::avx512:
      return here & ~(HWY_AVX3 - 1);
    case isa::any:
      break;
  }
  return here;
}

/// The first that may be used; the last is what the compiler was told to assume, and always may.
template <class F, std::size_t N>
F best_of(const variant<F> (&variants)[N]) {
  const std::int64_t usable = usable_targets();
  for (const auto& v : variants)
    if (v.target & usable) return v.kernel;
  return variants[N - 1].kernel;
}

}  // namespace clipx::simd

#if HWY_TARGETS & HWY_AVX3
#define CLIPX_KERNEL_AVX3(...) {HWY_AVX3, &::clipx::simd::N_AVX3::__VA_ARGS__},
#else
#define CLIPX_KERNEL_AVX3(...)
#endif
#if HWY_TARGETS & HWY_AVX2
#define CLIPX_KERNEL_AVX2(...) {HWY_AVX2, &::clipx::simd::N_AVX2::__VA_ARGS__},
#else
#define CLIPX_KERNEL_AVX2(...)
#endif
#if HWY_TARGETS & HWY_SSE4
#define CLIPX_KERNEL_SSE4(...) {HWY_SSE4, &::clipx::simd::N_SSE4::__VA_ARGS__},
#else
#define CLIPX_KERNEL_SSE4(...)
#endif

/// CLIPX_KERNEL(f) or CLIPX_KERNEL(f<T>): the function f of simd::HWY_NAMESPACE for the best instruction set. Chosen once.
#define CLIPX_KERNEL(...)                                                                                                          \
  ([] {                                                                                                                            \
    using clipx_kernel = decltype(&::clipx::simd::HWY_NAMESPACE::__VA_ARGS__);                                                     \
    static const clipx_kernel clipx_best = ::clipx::simd::best_of<clipx_kernel>({CLIPX_KERNEL_AVX3(__VA_ARGS__) CLIPX_KERNEL_AVX2( \
        __VA_ARGS__) CLIPX_KERNEL_SSE4(__VA_ARGS__){HWY_STATIC_TARGET, &::clipx::simd::HWY_NAMESPACE::__VA_ARGS__}});              \
    return clipx_best;                                                                                                             \
  }())
