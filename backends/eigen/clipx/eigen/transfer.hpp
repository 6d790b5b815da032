// Host memory and "device" memory, which are the same here: conversions and copies.
#pragma once
#include <type_traits>

#include "family.hpp"

namespace clipx::detail::reference {

template <class T>
class eigen_transfer {
 public:
  void upload(mat<const float> from, mat<T> to) { convert(from, to); }
  void upload(mat<const double> from, mat<T> to) { convert(from, to); }
  void upload(mat<const std::int32_t> from, mat<std::int32_t> to) { convert(from, to); }
  void upload(mat<const std::uint8_t> from, mat<std::uint8_t> to) { convert(from, to); }
  void download(mat<const T> from, mat<float> to) { convert(from, to); }
  void download(mat<const T> from, mat<double> to) { convert(from, to); }
  void copy(mat<const T> x, mat<T> y) { convert(x, y); }

 private:
  template <class From, class To>
  static To as(From v) {
    if constexpr (std::is_same_v<From, std::complex<double>> && !std::is_same_v<To, std::complex<double>>)
      return static_cast<To>(v.real());
    else return static_cast<To>(v);
  }
  template <class From, class To>
  static void convert(mat<From> from, mat<To> to) {
    for (dim r = 0; r < to.rows; ++r)
      for (dim c = 0; c < to.cols; ++c) to.row(r)[c] = as<std::remove_const_t<From>, To>(from.row(r)[c]);
  }
};

}  // namespace clipx::detail::reference
