// What is left out is training, whose verbs models and ops have; emulated_cuda_bf16 has all cases.
// Cases: golden models ops
// Without: keep modes agree to the bit
#pragma once
#include <clipx/emulation.hpp>
using backend_t = clipx::emulation<clipx::cuda<float>>;
inline constexpr const char* backend_name = "emulated cuda<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
