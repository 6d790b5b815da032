// cpu<float> and cpu<bf16>, compiled once.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cpu-inl.hpp>

template class clipx::cpu<float>;
template class clipx::cpu<clipx::bf16>;
