// Compiles the kernels for each instruction set with Highway's foreach_target, and defines CLIPX_KERNEL, which selects one at run
// time.
//
// Highway requires foreach_target before hwy/highway.h, once per translation unit: when header-only, include clipx/cpu.hpp before
// hwy/highway.h; a unit with its own foreach_target must use clipx::cpu-compiled, or leave clipx/cpu.hpp to another unit.
#pragma once
#if defined(HWY_NAMESPACE) || defined(HIGHWAY_HWY_FOREACH_TARGET_H_)
#error "clipx/cpu.hpp, header-only, must be included before hwy/highway.h and hwy/foreach_target.h; or link clipx::cpu-compiled"
#endif
// On x86: AVX-512 (Highway's AVX3), AVX2, SSE4 and the compiler's own target. Disabled are targets that take compile time without a
// gain in speed here (all above AVX3, and SSSE3), and those with vectors of unknown size, of which there can be no arrays.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS ((HWY_AVX3 - 1) | HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "clipx/cpu/kernels-inl.hpp"
#include <hwy/foreach_target.h>
#undef HWY_TARGET_INCLUDE
//
#include "isa.hpp"
#include "kernels-inl.hpp"  // once more, for the compiler's own target

namespace clipx::simd {

/// A kernel compiled for one of Highway's targets.
template <class F>
struct variant {
  std::int64_t target;
  F kernel;
};

/// Highway's targets that may be used: those of the processor, as far as CLIPX_MAX_ISA allows. On x86 each target is a bit; a lower
/// bit is a better target.
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

/// The first variant that may be used; the last one is the compiler's own target, which always may.
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

/// CLIPX_KERNEL(f) or CLIPX_KERNEL(f<T>): the function f of simd::HWY_NAMESPACE for the best instruction set. Selected once.
#define CLIPX_KERNEL(...)                                                                                                          \
  ([] {                                                                                                                            \
    using clipx_kernel = decltype(&::clipx::simd::HWY_NAMESPACE::__VA_ARGS__);                                                     \
    static const clipx_kernel clipx_best = ::clipx::simd::best_of<clipx_kernel>({CLIPX_KERNEL_AVX3(__VA_ARGS__) CLIPX_KERNEL_AVX2( \
        __VA_ARGS__) CLIPX_KERNEL_SSE4(__VA_ARGS__){HWY_STATIC_TARGET, &::clipx::simd::HWY_NAMESPACE::__VA_ARGS__}});              \
    return clipx_best;                                                                                                             \
  }())
