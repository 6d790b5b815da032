// cpu<T>: processors with AVX2 or AVX-512; T = float or bf16 storage, sums in float. Matrix products and convolutions use oneDNN,
// with frozen weights packed once; everything else uses kernels written with Highway, of which the best supported variant is chosen
// at run time. Threads are OpenMP's. Verbs are declared and defined in the families below; see cpu/family.hpp.
//
// Several threads may use one device, each with its own working memory; each call runs on `threads` OpenMP threads.
#pragma once
#include "cpu/convolution.hpp"
#include "cpu/device.hpp"
#include "cpu/families.hpp"
#include "cpu/products.hpp"

namespace clipx {

/// The production backend: processors with AVX2 or better, T is float or bf16. Its verbs are those of clipx::backend. A device may
/// be used by several threads at once.
template <class T>
class cpu : public detail::cpu_device,
            public detail::cpu_elementwise<T>,
            public detail::cpu_rows<T>,
            public detail::cpu_norm<T>,
            public detail::cpu_attention<T>,
            public detail::cpu_images<T>,
            public detail::cpu_depthwise<T>,
            public detail::cpu_optimizer<T>,
            public detail::cpu_loss,
            public detail::cpu_dictionary,
            public detail::cpu_resample,
            public detail::cpu_products<T>,
            public detail::cpu_convolution<T> {
 public:
  using scalar = T;     // type of activations and weights
  using accum = float;  // type of sums, norms, statistics and the loss
  /// The fused verbs that it has (nothing_fast).
  struct fast : nothing_fast {
    ///@{
    /// See nothing_fast.
    static constexpr bool linear = true, attention = true, add_layernorm = true, batchnorm_relu = true, conv_batchnorm = true,
                          conv = true, pixels_resampler = true;
    ///@}
  };
#ifdef CLIPX_COMPILED
  using compiled_models = cpu;  // clipx::cpu-compiled holds the towers of clipx's own architectures, for this very type
#endif
  static constexpr bool host_memory = true;  // device memory is the host's
  static constexpr bool in_place = true;     // weights may be read in place from a mapped file

  /// Each call of a verb may use `o.threads` threads. Errors: fewer than 0 or more than 4096.
  explicit cpu(const cpu_options& o = {})
      : cpu_device(o),
        detail::cpu_elementwise<T>(cpu_device::threads()),
        detail::cpu_rows<T>(cpu_device::threads()),
        detail::cpu_norm<T>(cpu_device::threads()),
        detail::cpu_attention<T>(cpu_device::threads()),
        detail::cpu_images<T>(cpu_device::threads()),
        detail::cpu_depthwise<T>(cpu_device::threads()),
        detail::cpu_optimizer<T>(cpu_device::threads()),
        detail::cpu_loss(cpu_device::threads()),
        detail::cpu_dictionary(cpu_device::threads()),
        detail::cpu_products<T>(static_cast<cpu_device&>(*this)),
        detail::cpu_convolution<T>(static_cast<cpu_device&>(*this)) {}

  /// What makes this type slow on this processor or system, one sentence each; empty: nothing.
  std::vector<std::string> warnings() const { return cpu_device::warnings(std::is_same_v<T, bf16>); }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "cpu-inl.hpp"
#endif
