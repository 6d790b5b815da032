// Fast paths are declined here, which what is left out does not choose among; cpu_f32 has all cases.
// Cases: golden models ops train
#pragma once
#include <clipx/cpu.hpp>
using backend_t = clipx::plain<clipx::cpu<float>>;
inline constexpr const char* backend_name = "plain<cpu<float>>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
