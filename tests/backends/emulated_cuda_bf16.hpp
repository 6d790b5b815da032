#pragma once
#include <clipx/emulation.hpp>
using backend_t = clipx::emulation<clipx::cuda<clipx::bf16>>;
inline constexpr const char* backend_name = "emulated cuda<clipx::bf16>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
