// The kernels of one instruction set. dispatch-inl.hpp includes this once for each, so there is no include guard.
//
// A product and a sum are fused only where a kernel says so (hn::MulAdd). Otherwise the bits of a result would be the compiler's
// choice: g++ contracts a * b + c of vectors by default, in one inlined copy of a kernel but not in the other.
#include <hwy/highway.h>

#include <algorithm>
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "parallel-inl.hpp"

#ifdef __clang__
#pragma float_control(push)
#pragma clang fp contract(off)
#else
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
#include "vectors-inl.hpp"
#define CLIPX_CPU_KERNELS
#include "families.hpp"
#undef CLIPX_CPU_KERNELS
#ifdef __clang__
#pragma float_control(pop)
#else
#pragma GCC pop_options
#endif
