// Numbers as a program written in Rust reads them.
#pragma once
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// The number that serde_json, by which the `tokenizers` library reads a file, makes of a number's shortest text: its digits as a
/// double, divided by a power of ten. Often that is the double beside the nearest, which decides between equal sums of scores.
inline double as_serde(double v) {
  char text[40];
  const std::string_view number(text, std::to_chars(text, text + sizeof text, std::abs(v), std::chars_format::scientific).ptr);
  const auto e = number.find('e');  // d.ddde-xx
  int power = 0;
  std::from_chars(number.data() + e + (number[e + 1] == '+' ? 2 : 1), number.data() + number.size(), power);
  std::uint64_t digits = 0;
  for (const char c : number.substr(0, e))
    if (c != '.') digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
  if (e > 1) power -= static_cast<int>(e) - 2;
  const auto ten_to = [](int n) {
    const auto t = cat("1e", n);
    double out = 0;
    std::from_chars(t.data(), t.data() + t.size(), out);
    return out;
  };
  double out = static_cast<double>(digits);
  for (; power < -308; power += 308) out /= 1e308;
  return std::copysign(power < 0 ? out / ten_to(-power) : out * ten_to(power), v);
}

}  // namespace clipx::detail
