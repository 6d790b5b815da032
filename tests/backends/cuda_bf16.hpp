#pragma once
#include <clipx/cuda.hpp>
using backend_t = clipx::cuda<clipx::bf16>;
inline constexpr const char* backend_name = "cuda<clipx::bf16>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
