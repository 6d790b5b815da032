#pragma once
#include <clipx/eigen.hpp>
using backend_t = clipx::eigen<float>;
inline constexpr const char* backend_name = "eigen<float>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
