#pragma once
#include <clipx/cpu.hpp>
using backend_t = clipx::plain<clipx::cpu<clipx::bf16>>;
inline constexpr const char* backend_name = "plain<cpu<clipx::bf16>>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
