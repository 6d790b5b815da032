#pragma once
#include <clipx/cuda.hpp>
using backend_t = clipx::cuda<float>;
inline constexpr const char* backend_name = "cuda<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
