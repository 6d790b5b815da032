#pragma once
#include <clipx/emulation.hpp>
using backend_t = clipx::emulation<clipx::plain<clipx::cuda<clipx::bf16>>>;
inline constexpr const char* backend_name = "emulated plain<cuda<clipx::bf16>>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
