// The verbs of cpu<T> are organized in families. A family is one file, which is included three times:
//
//   1. For the declaration: a class template with the verbs as members, a base of cpu<T>. No third-party headers.
//   2. With CLIPX_CPU_KERNELS defined: the kernels, once for each instruction set, in namespace simd::HWY_NAMESPACE. A kernel
//      processes what one thread is given.
//   3. With CLIPX_CPU_MEMBERS defined: the members, once. They divide the work among threads (parallel-inl.hpp) and call
//      CLIPX_KERNEL(name<T>), the kernel for the processor's best instruction set (dispatch-inl.hpp).
//
// A new verb is one member, one kernel and one definition in its family's file. A new family is a new file, a line in families.hpp
// and a base of cpu<T> in cpu.hpp.
//
// Contract of all families: sums are held in float; shapes are not checked. Every row is computed by one thread, in an order of
// summation that depends neither on the number of threads nor on other rows, so results have the same bits in any batch. Column
// sums run down the rows in fixed blocks, whichever threads compute them. Small tasks stay on the caller's thread.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/error.hpp>
#include <type_traits>

namespace clipx::simd {
/// Highway's name of the instruction set whose kernels are used.
CLIPX_INLINE const char* instruction_set();
}  // namespace clipx::simd

namespace clipx::detail {

/// A is float and T another type. Verbs that take T and float have overloads `template <accum_of<T> A = float>` for float.
template <class A, class T>
concept accum_of = std::is_same_v<A, float> && !std::is_same_v<T, float>;
/// A matrix parameter that takes no part in template deduction, so arguments are converted as for an ordinary function.
template <class E>
using view = std::type_identity_t<mat<E>>;

/// Base of all families: the number of threads that a call may use.
template <class T>
class cpu_family {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, bf16>,
                "clipx::cpu<T>: T must be float or clipx::bf16; for double and std::complex<double> use clipx::eigen<T>");

 public:
  explicit cpu_family(int threads) : threads_(threads) {}

 protected:
  int threads_;
};

}  // namespace clipx::detail

// At the end of a family's declaration and of its members: with CLIPX_COMPILED, both types are compiled once, in units/.
#ifdef CLIPX_COMPILED
#define CLIPX_CPU_DECLARED(family)     \
  extern template class family<float>; \
  extern template class family<bf16>
#define CLIPX_CPU_DEFINED(family) \
  template class family<float>;   \
  template class family<bf16>
#else
#define CLIPX_CPU_DECLARED(family) static_assert(true)
#define CLIPX_CPU_DEFINED(family) static_assert(true)
#endif
