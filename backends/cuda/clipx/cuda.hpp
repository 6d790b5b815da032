// cuda<T>: NVIDIA GPUs; T = float or bf16 storage, sums in float. Matrix products use cuBLASLt, everything else our own kernels.
// This header uses nothing of CUDA: g++ compiles models with it, and nvcc compiles the definitions, once, in units/. The verbs are
// in cuda/, one file per family.
#pragma once
#include <utility>

#include "cuda/attention.hpp"
#include "cuda/batchnorm.hpp"
#include "cuda/conv.hpp"
#include "cuda/depthwise.hpp"
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
                                 cuda_attention, cuda_conv, cuda_depthwise, cuda_loss, cuda_dictionary, cuda_optimizer>;
}

/// An NVIDIA GPU: T is float or bf16. Its verbs are those of clipx::backend; calls return before they are done, and calls of
/// several threads take turns.
template <class T>
class cuda : detail::cuda_context, public detail::cuda_verbs<T> {
 public:
  using scalar = T;     // type of activations and weights
  using accum = float;  // type of sums, norms, statistics and the loss
  /// The fused verbs that it has (nothing_fast).
  struct fast : nothing_fast {
    ///@{
    /// See nothing_fast.
    static constexpr bool linear = true, attention = true, add_layernorm = true, batchnorm_relu = true, replay = true;
    ///@}
  };
#ifdef CLIPX_COMPILED
  using compiled_models = cuda;  // clipx::cuda-compiled holds the towers of clipx's own architectures, for this very type
#endif
  static constexpr bool host_memory = false;  // device memory is the GPU's own
  static constexpr bool in_place = false;     // weights are uploaded

  /// Errors: no driver, no such GPU.
  explicit cuda(const cuda_options& o = {}) : cuda_context(o), detail::cuda_verbs<T>(static_cast<cuda_context&>(*this)) {}
  cuda(cuda&&) = delete;

  /// What is in use: the GPU, its memory, the versions of driver, runtime and cuBLASLt.
  std::string describe() const { return engine.describe(); }
  ///@{
  /// As clipx::backend asks: steps, memory, waiting for the GPU.
  void enter() { engine.enter(); }
  void leave() { engine.leave(); }
  arena& memory() { return engine.memory(); }
  void sync() { engine.sync(); }
  /// Memory that every thread may use.
  template <class E>
  buffer<E> alloc(dim n) {
    buffer<E> made(static_cast<E*>(engine.allocate(n * static_cast<dim>(sizeof(E)))), n, &detail::cuda_engine::release);
    sync();
    return made;
  }
  ///@}

  /// A frozen weight must not be written until thaw(): in debug builds a verb that would write to it throws. Every weight is read
  /// in place, so `release` is never called.
  template <class E>
  void freeze(mat<const E> weight, frozen_role, release_callback = {}) {
    engine.freeze(weight.data, detail::byte_extent(weight));
  }
  void thaw(const void* data) { engine.thaw(data); }  // the weight may be written again

  /// A sequence of verbs as a CUDA graph, and the memory that it works in. One thread at a time may replay it, any thread. It must
  /// not outlive the device.
  struct recording {
    arena memory;                 // where the recorded verbs work
    std::shared_ptr<void> graph;  // the instantiated graph
  };
  /// Runs `body` once and records it; see replays_verbs.
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
  void replay(const recording& r) { engine.replay(r.graph.get()); }  // launches the graph
};

}  // namespace clipx
