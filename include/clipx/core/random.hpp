// Random numbers by place: each is a function of what it is for and of its number. So neither threads nor machines nor compilers
// change them (integers alone are computed with), and any of them is had without those before it.
#pragma once
#include <cstdint>

namespace clipx {

/// The numbers of one purpose, say draws(seed, epoch, place): SplitMix64 from a state that the parts are mixed into.
class draws {
 public:
  template <class... Parts>
  explicit constexpr draws(Parts... parts) {
    ((state_ = mix(state_ + step + static_cast<std::uint64_t>(parts))), ...);
  }
  /// Number i, 64 bits.
  constexpr std::uint64_t operator()(std::uint64_t i) const { return mix(state_ + (i + 1) * step); }
  /// Of 0 .. n - 1, for n from 1 to 2^32.
  constexpr std::uint64_t below(std::uint64_t i, std::uint64_t n) const {
    const std::uint64_t x = (*this)(i);
    return ((x >> 32) * n + ((x & 0xffffffffu) * n >> 32)) >> 32;
  }
  /// True with probability p, to 2^-53.
  constexpr bool chance(std::uint64_t i, double p) const { return static_cast<double>((*this)(i) >> 11) * 0x1p-53 < p; }
  /// From [from, to), in whole steps (fixed-point numbers): to - from is below 2^32.
  constexpr std::int64_t between(std::uint64_t i, std::int64_t from, std::int64_t to) const {
    return from + static_cast<std::int64_t>(static_cast<std::uint64_t>(to - from) * ((*this)(i) >> 32) >> 32);
  }

  static constexpr std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  static constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  std::uint64_t state_ = 0;
};

}  // namespace clipx
