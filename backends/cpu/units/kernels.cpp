// The CPU's kernels, compiled once for each instruction set; the best that the processor has is picked at run time.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
// Left out: what adds compile time and no speed here (SSSE3; AVX3_DL, ZEN4 and SPR, of which Highway 1.0 knows only the first),
// and vectors whose size is unknown at compile time, of which no arrays can be made.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | (1LL << 6) | (1LL << 4) | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "clipx/kernels-inl.h"
#include <hwy/foreach_target.h>
//
#include <clipx/kernels-inl.h>

template struct clipx::kernels<float>;
template struct clipx::kernels<clipx::bf16>;
template void clipx::kernels<clipx::bf16>::bias_act<float>(int, mat<const float>, mat<const bf16>, const activation*,
                                                           mat<const bf16>, mat<bf16>, mat<bf16>);
template void clipx::kernels<clipx::bf16>::bias_act<clipx::bf16>(int, mat<const bf16>, mat<const bf16>, const activation*,
                                                                 mat<const bf16>, mat<bf16>, mat<bf16>);
template void clipx::kernels<float>::bias_act<float>(int, mat<const float>, mat<const float>, const activation*, mat<const float>,
                                                     mat<float>, mat<float>);
