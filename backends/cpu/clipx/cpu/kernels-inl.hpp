// The kernels of one instruction set. dispatch-inl.hpp includes this once for each, so there is no include guard.
#include <hwy/highway.h>

#include "vectors-inl.hpp"
#define CLIPX_CPU_KERNELS
#include "families.hpp"
#undef CLIPX_CPU_KERNELS
