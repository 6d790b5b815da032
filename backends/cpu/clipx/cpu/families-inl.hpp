// Definitions of the families in families.hpp: kernels for each instruction set, then the members.
#pragma once
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "dispatch-inl.hpp"
#include "parallel-inl.hpp"

namespace clipx::simd {
CLIPX_INLINE const char* instruction_set() { return CLIPX_KERNEL(target_name)(); }
}  // namespace clipx::simd

#define CLIPX_CPU_MEMBERS
#include "families.hpp"
#undef CLIPX_CPU_MEMBERS
