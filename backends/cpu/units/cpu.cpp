// The cpu backend's device, products and convolutions, compiled once.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cpu-inl.hpp>
