// eigen<T>: the reference backend, T = float, double or std::complex<double> (for the complex-step derivative). Plain loops, Eigen
// only for the matrix product; never optimized. A call runs on the calling thread; several threads may use one device. The verbs
// are in eigen/, one file per family.
#pragma once
#include <clipx/core/working_memory.hpp>
#include <cstdlib>
#include <cstring>

#include "eigen/conv.hpp"
#include "eigen/dictionary.hpp"
#include "eigen/elementwise.hpp"
#include "eigen/loss.hpp"
#include "eigen/norm.hpp"
#include "eigen/optimizer.hpp"
#include "eigen/products.hpp"
#include "eigen/softmax.hpp"
#include "eigen/transfer.hpp"

namespace clipx {
namespace detail::reference {

template <class T>
class eigen_verbs : public eigen_transfer<T>,
                    public eigen_products<T>,
                    public eigen_elementwise<T>,
                    public eigen_norm<T>,
                    public eigen_softmax<T>,
                    public eigen_conv<T>,
                    public eigen_loss<T>,
                    public eigen_dictionary<T>,
                    public eigen_optimizer<T> {};

inline void* zeroed(dim bytes) {
  const std::size_t n = (static_cast<std::size_t>(bytes > 0 ? bytes : 1) + 255) / 256 * 256;
  void* p = std::aligned_alloc(256, n);
  expect(p != nullptr, error_kind::out_of_memory, [&] { return cat("eigen: out of memory for ", bytes, " bytes"); });
  return std::memset(p, 0, n);
}

}  // namespace detail::reference

/// The reference backend: T is float, double or std::complex<double>. Its verbs are those of clipx::backend. A device may be used
/// by several threads at once.
template <class T>
class eigen : public detail::reference::eigen_verbs<T> {
 public:
  ///@{
  /// As clipx::backend asks: types, fused verbs, where memory is, whether mapped weights are used in place.
  using scalar = T;
  using accum = T;
  using fast = nothing_fast;
#ifdef CLIPX_COMPILED
  /// clipx::eigen-compiled holds the towers of clipx's own architectures, for these types.
  using compiled_models = std::conditional_t<std::is_floating_point_v<T>, eigen, void>;
#endif
  static constexpr bool host_memory = true;  // device memory is the host's
  static constexpr bool in_place = false;    // weights are converted
  ///@}

  eigen()
      : memory_(
            this,
            [](void*, dim n) { return buffer<std::byte>(static_cast<std::byte*>(detail::reference::zeroed(n)), n, std::free); },
            [](void*, std::byte* p, dim n) { std::memset(p, 0xff, static_cast<std::size_t>(n)); }) {}
  eigen(eigen&&) = delete;

  ///@{
  /// As clipx::backend asks: steps and memory of the calling thread.
  void enter() { memory_.enter(); }
  void leave() { memory_.leave(); }
  arena& memory() { return memory_.mine(); }
  void sync() {}
  template <class E>
  buffer<E> alloc(dim n) {
    return {static_cast<E*>(detail::reference::zeroed(n * static_cast<dim>(sizeof(E)))), n, std::free};
  }
  ///@}

  /// Does nothing: the reference backend reads every weight in place, so `release` is never called.
  template <class E>
  void freeze(mat<const E>, frozen_role, release_callback = {}) {}
  void thaw(const void*) {}  // does nothing

 private:
  working_memory memory_;
};

}  // namespace clipx
