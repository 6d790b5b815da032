// Matrices for the tests of the CPU kernels, and how their results are held to a bound.
#pragma once
#include <clipx/cpu.hpp>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "catch.hpp"

namespace cpu_kernels {
using namespace clipx;

/// A device of 1 or 2 threads.
template <class T>
cpu<T>& on(int threads) {
  static cpu<T> one({.threads = 1}), two({.threads = 2});
  return threads == 1 ? one : two;
}

inline constexpr double u32 = 0x1p-24;
template <class T>
inline constexpr double unit = std::is_same_v<T, bf16> ? 0x1p-8 : u32;  // bf16: one bit to spare for values next to a power of 2
inline constexpr dim sizes[] = {1, 7, 31, 33, 257};

/// A matrix inside wider rows; what lies between the rows must not change.
template <class E>
struct grid {
  dim rows, cols, ld;
  std::vector<E> data;
  grid(dim r, dim c, double scale = 1, double mean = 0, dim gap = 3) : rows(r), cols(c), ld(c + gap) {
    static std::mt19937 bits(7);
    std::normal_distribution<double> normal(mean, scale);
    data.assign(static_cast<std::size_t>(rows * ld), E(77.0f));
    for (dim i = 0; i < rows; ++i)
      for (dim j = 0; j < cols; ++j) view().row(i)[j] = E(static_cast<float>(scale > 0 ? normal(bits) : mean));
  }
  mat<E> view() { return {data.data(), rows, cols, ld}; }
  mat<const E> in() const { return {data.data(), rows, cols, ld}; }
  double operator()(dim r, dim c) const { return static_cast<double>(static_cast<float>(in().row(r)[c])); }
  bool gaps_kept() const {
    for (dim i = 0; i < rows; ++i)
      for (dim j = cols; j < ld; ++j)
        if (static_cast<float>(in().data[i * ld + j]) != 77.0f) return false;
    return true;
  }
};

/// |got - want| <= u(T) |want| + u32 * slack everywhere; want(r, c) gives both.
struct expected {
  double value, slack;
};
template <class E, class F>
void check(const grid<E>& got, F&& want) {
  double worst = 0;
  dim at_row = 0, at_col = 0;
  for (dim r = 0; r < got.rows; ++r)
    for (dim c = 0; c < got.cols; ++c) {
      const expected e = want(r, c);
      const double error = std::abs(got(r, c) - e.value) / (unit<E> * std::abs(e.value) + u32 * e.slack + 1e-37);
      if (!(error <= worst)) {
        worst = error;
        at_row = r;
        at_col = c;
      }
    }
  INFO("(" << at_row << ", " << at_col << "): got " << got(at_row, at_col) << ", want " << want(at_row, at_col).value);
  CHECK(worst <= 1);
  CHECK(got.gaps_kept());
}
template <class E>
bool same_bits(const grid<E>& a, const grid<E>& b) {
  return std::memcmp(a.data.data(), b.data.data(), a.data.size() * sizeof(E)) == 0;
}

}  // namespace cpu_kernels
