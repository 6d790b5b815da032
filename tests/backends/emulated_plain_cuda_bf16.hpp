// Fast paths are declined here, which what is left out does not choose among; emulated_cuda_bf16 has all cases.
// Cases: models ops
// Without: keep modes agree to the bit
#pragma once
#include <clipx/emulation.hpp>
using backend_t = clipx::emulation<clipx::plain<clipx::cuda<clipx::bf16>>>;
inline constexpr const char* backend_name = "emulated plain<cuda<clipx::bf16>>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
