// Definitions of cpu.hpp. In the compiled library, the kernels are a separate unit.
#pragma once
#include "cpu.hpp"
#ifndef CLIPX_COMPILED
#include "cpu/families-inl.hpp"
#endif
#include "cpu/device-inl.hpp"
#define CLIPX_CPU_MEMBERS
#include "cpu/convolution.hpp"
#include "cpu/products.hpp"
#undef CLIPX_CPU_MEMBERS
