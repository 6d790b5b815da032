// What every family of verbs of eigen<T> needs. A family is one file: a class template with its verbs as members, and their
// definitions where those are compiled: header-only, or in units/, which instantiate them for CLIPX_EIGEN_SCALAR.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/freeze.hpp>
#include <complex>

#if !defined(CLIPX_COMPILED) || defined(CLIPX_EIGEN_SCALAR)
#define CLIPX_EIGEN_DEFINITIONS
#include <algorithm>
#include <cmath>
#include <type_traits>

namespace clipx::detail::reference {

template <class T>
inline constexpr bool is_complex = false;
template <class T>
inline constexpr bool is_complex<std::complex<T>> = true;

/// The real part, for comparisons: complex numbers occur here only as a value plus an infinitesimal.
template <class T>
double real(T v) {
  if constexpr (is_complex<T>) return v.real();
  else return static_cast<double>(v);
}

}  // namespace clipx::detail::reference
#endif
