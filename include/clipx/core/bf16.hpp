// bf16 storage, and conversions from and to IEEE half; rounded to nearest even, subnormals and NaN preserved.
#pragma once
#include <bit>
#include <cstdint>

namespace clipx {

/// The upper half of a float: 8 exponent and 8 significant bits. A storage type; arithmetic is done in float.
struct bf16 {
  std::uint16_t bits = 0;  // sign, exponent and the upper 7 bits of the significand, as in a float

  bf16() = default;
  /// Rounds to nearest even.
  explicit bf16(float v) {
    const auto u = std::bit_cast<std::uint32_t>(v);
    if ((u & 0x7fffffffu) > 0x7f800000u) bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);  // NaN stays NaN
    else bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
  explicit bf16(double v) : bf16(static_cast<float>(v)) {}  // through float, which rounds twice
  explicit bf16(int v) : bf16(static_cast<float>(v)) {}     // through float
  operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }  // exact
};

/// IEEE 754 binary16 to float, exact.
inline float f16_to_float(std::uint16_t h) {
  const std::uint32_t sign = static_cast<std::uint32_t>(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent == 0) {  // zero and subnormals: fraction * 2^-24
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

/// float to IEEE 754 binary16.
inline std::uint16_t float_to_f16(float v) {
  const auto u = std::bit_cast<std::uint32_t>(v);
  const std::uint32_t sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to infinity
  if (magnitude < 0x38800000u) {  // subnormal: adding 1/2 puts the value's 2^-24 units in the last bits, rounded to even
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace clipx
