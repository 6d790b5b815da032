#pragma once
#include <clipx/cuda.hpp>
#include <cstdio>
#include <cstdlib>
using backend_t = clipx::cuda<float>;
inline constexpr const char* backend_name = "cuda<float>";
inline backend_t& device() {
  if (const auto why = clipx::cuda_missing(); !why.empty()) std::printf("skipped: no device: %s\n", why.c_str()), std::exit(77);
  static backend_t d;
  return d;
}
