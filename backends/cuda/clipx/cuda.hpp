// cuda<T>: NVIDIA GPUs; T = float or bf16 storage, sums in float. Matrix products use cuBLASLt, everything else our own kernels.
// This header uses nothing of CUDA: g++ compiles models with it, and nvcc compiles the definitions, once, in units/. The verbs are
// in cuda/, one file per family.
#pragma once
#include <utility>

#include "cuda/attention.hpp"
#include "cuda/batchnorm.hpp"
#include "cuda/conv.hpp"
#include "cuda/dictionary.hpp"
#include "cuda/elementwise.hpp"
#include "cuda/loss.hpp"
#include "cuda/norm.hpp"
#include "cuda/optimizer.hpp"
#include "cuda/products.hpp"
#include "cuda/scatter.hpp"
#include "cuda/transfer.hpp"

namespace clipx {
namespace detail {
template <class T>
using cuda_verbs = cuda_families<T, cuda_transfer, cuda_products, cuda_elementwise, cuda_scatter, cuda_norm, cuda_batchnorm,
                                 cuda_attention, cuda_conv, cuda_loss, cuda_dictionary, cuda_optimizer>;
}

template <class T>
class cuda : detail::cuda_context, public detail::cuda_verbs<T> {
 public:
  using scalar = T;
  using accum = float;
  struct fast : nothing_fast {
    static constexpr bool linear = true, attention = true, add_layernorm = true, batchnorm_relu = true, replay = true;
  };
  static constexpr bool host_memory = false;

  explicit cuda(const cuda_options& o = {}) : cuda_context(o), detail::cuda_verbs<T>(static_cast<cuda_context&>(*this)) {}
  cuda(cuda&&) = delete;

  /// What is in use: the GPU, its memory, the versions of driver, runtime and cuBLASLt.
  std::string describe() const { return engine.describe(); }
  void enter() { turn.lock(); }
  void leave() { turn.unlock(); }
  arena& memory() { return cuda_context::memory; }
  void sync() { engine.sync(); }
  template <class E>
  buffer<E> alloc(dim n) {
    return {static_cast<E*>(engine.allocate(n * static_cast<dim>(sizeof(E)))), n, &detail::cuda_engine::release};
  }

  /// A frozen weight must not be written until thaw(): in debug builds a verb that would write to it throws. Every weight is read
  /// in place, so `release` is never called.
  template <class E>
  void freeze(mat<const E> weight, frozen_role, release_callback = {}) {
    engine.freeze(weight.data, detail::byte_extent(weight));
  }
  void thaw(const void* data) { engine.thaw(data); }

  /// A sequence of verbs as a CUDA graph, and its working memory. It must not outlive the device.
  struct recording {
    arena memory;
    std::shared_ptr<void> graph;
  };
  recording record(function_ref<void()> body) {
    recording r{engine.make_arena(), nullptr};
    arena& own = memory();
    struct exchange {  // while body runs, memory() is the recording's, even if body throws
      arena &a, &b;
      exchange(arena& x, arena& y) : a(x), b(y) { std::swap(a, b); }
      ~exchange() { std::swap(a, b); }
    };
    {
      const exchange lent(own, r.memory);
      body();  // makes plans and grows the memory to its size
      r.graph = engine.record(body);
      const auto left = own.here();
      expect(left.block == 0 && left.used == 0, "cuda: a recording must give back what it takes from memory()");
    }
    return r;
  }
  void replay(const recording& r) { engine.replay(r.graph.get()); }
};

}  // namespace clipx
