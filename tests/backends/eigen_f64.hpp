#pragma once
#include <clipx/eigen.hpp>
using backend_t = clipx::eigen<double>;
inline constexpr const char* backend_name = "eigen<double>";
inline backend_t& device() {
  static backend_t d;
  return d;
}
#define CLIPX_REFERENCE 1  // the gradient checks run once, with the reference
