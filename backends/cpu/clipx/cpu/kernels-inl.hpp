// The kernels of one instruction set. dispatch-inl.hpp has it read once for each: no include guard.
#include <hwy/highway.h>

#include "vectors-inl.hpp"
#define CLIPX_CPU_KERNELS
#include "families.hpp"
#undef CLIPX_CPU_KERNELS
