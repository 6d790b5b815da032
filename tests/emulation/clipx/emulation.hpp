// cuda<T> where there is no GPU: the backend's own text on the fibers of this folder, in each order of a block's threads.
#pragma once
#include <array>
#include <clipx/cuda.hpp>

#include "../fibers.hpp"

namespace clipx {

template <class Cuda>
struct emulation : Cuda {
  using Cuda::Cuda;
  /// Orders that must all give the same bits (tests/cases/driver.hpp).
  static constexpr std::array orders{::emulation::order::forward, ::emulation::order::backward, ::emulation::order::shuffled};
  void run_in(::emulation::order o) { ::emulation::threads = o; }
};

}  // namespace clipx
