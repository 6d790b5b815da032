// The cpu backend's kernels, compiled once for each instruction set, and the verbs that call them.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cpu.hpp>
//
#include <clipx/cpu/families-inl.hpp>
