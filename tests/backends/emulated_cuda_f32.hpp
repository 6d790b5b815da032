#pragma once
#include <clipx/emulation.hpp>
using backend_t = clipx::emulation<clipx::cuda<float>>;
inline constexpr const char* backend_name = "emulated cuda<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
