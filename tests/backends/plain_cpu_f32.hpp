#pragma once
#include <clipx/cpu.hpp>
using backend_t = clipx::plain<clipx::cpu<float>>;
inline constexpr const char* backend_name = "plain<cpu<float>>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
