// CLIPX_MAX_ISA: the best instruction set that oneDNN and the kernels may use.
#pragma once
#include <clipx/core/error.hpp>
#include <cstdlib>
#include <string_view>

namespace clipx::simd {

enum class isa { sse4, avx2, avx512, any };

/// The best instruction set that may be used: CLIPX_MAX_ISA=AVX512, AVX2 or SSE4 in the environment makes this processor behave as
/// an older one. Read once.
inline isa most_isa() {
  static const isa most = [] {
    const char* text = std::getenv("CLIPX_MAX_ISA");
    const std::string_view name = text ? text : "";
    if (name.empty()) return isa::any;
    if (name == "AVX512") return isa::avx512;
    if (name == "AVX2") return isa::avx2;
    expect(name == "SSE4", [&] { return cat("CLIPX_MAX_ISA: expected AVX512, AVX2 or SSE4, got ", name); });
    return isa::sse4;
  }();
  return most;
}

}  // namespace clipx::simd
