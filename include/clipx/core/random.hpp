// Random numbers by index: each is a function of its purpose and its index alone. They do not depend on threads, machines or
// compilers (everything but normal() is integer arithmetic), and any of them can be computed without the ones before it.
#pragma once
#include <cmath>
#include <cstdint>

namespace clipx {

/// The random numbers of one purpose, say draws(seed, epoch, index): SplitMix64 from a state into which the parts are mixed.
class draws {
 public:
  /// The parts name the purpose; different parts give unrelated numbers.
  template <class... Parts>
  explicit constexpr draws(Parts... parts) {
    ((state_ = mix(state_ + step + static_cast<std::uint64_t>(parts))), ...);
  }
  /// Number i, as 64 bits.
  constexpr std::uint64_t operator()(std::uint64_t i) const { return mix(state_ + (i + 1) * step); }
  /// An integer in 0 .. n - 1, for n from 1 to 2^32.
  constexpr std::uint64_t below(std::uint64_t i, std::uint64_t n) const {
    const std::uint64_t x = (*this)(i);
    return ((x >> 32) * n + ((x & 0xffffffffu) * n >> 32)) >> 32;
  }
  /// True with probability p, to 2^-53.
  constexpr bool chance(std::uint64_t i, double p) const { return static_cast<double>((*this)(i) >> 11) * 0x1p-53 < p; }
  /// A fixed-point number in [from, to); to - from must be below 2^32.
  constexpr std::int64_t between(std::uint64_t i, std::int64_t from, std::int64_t to) const {
    return from + static_cast<std::int64_t>(static_cast<std::uint64_t>(to - from) * ((*this)(i) >> 32) >> 32);
  }

  /// A multiple of 2^-52 in [-1, 1).
  constexpr double uniform(std::uint64_t i) const {
    return static_cast<double>(static_cast<std::int64_t>((*this)(i)) >> 11) * 0x1p-52;
  }
  /// A number from the standard normal distribution, by Marsaglia's polar method. Only integers, square roots, quotients and
  /// explicit fused multiply-adds are used, so every compiler, processor and standard library gives the same bits.
  double normal(std::uint64_t i) const {
    const draws own((*this)(i));
    for (std::uint64_t attempt = 0;; ++attempt) {
      const std::uint64_t bits = own(attempt);
      const auto u = static_cast<std::int32_t>(bits >> 32), v = static_cast<std::int32_t>(bits & 0xffffffffu);
      const std::uint64_t square = square_of(u) + square_of(v);  // of the radius, in units of 2^-62
      if (square == 0 || square >= std::uint64_t{1} << 62) continue;
      const double s = static_cast<double>(square) * 0x1p-62;
      return static_cast<double>(u) * 0x1p-31 * std::sqrt(-2 * log(s) / s);
    }
  }

  /// SplitMix64's finalizer: a bijection of 64-bit integers.
  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  static constexpr std::uint64_t square_of(std::int64_t x) { return static_cast<std::uint64_t>(x * x); }
  /// The natural logarithm of x in (0, 1), to about 2^-52: x = m 2^e, log m = 2 atanh((m - 1) / (m + 1)) by its series.
  static double log(double x) {
    int e = 0;
    double m = std::frexp(x, &e);  // in [1/2, 1)
    if (m < 0.70710678118654752) {
      m *= 2;
      --e;
    }
    const double z = (m - 1) / (m + 1), square = z * z;
    double series = 1.0 / 21;
    for (int k = 19; k > 0; k -= 2) series = std::fma(series, square, 1.0 / k);
    return std::fma(static_cast<double>(e), 0.69314718055994531, 2 * z * series);
  }
  static constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  std::uint64_t state_ = 0;
};

}  // namespace clipx
