#pragma once
#include <clipx/cpu.hpp>
using backend_t = clipx::cpu<float>;
inline constexpr const char* backend_name = "cpu<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
