// oneDNN 2.6 to 3.x behind one interface: descriptors are made the same way, and an empty descriptor means that the processor does
// not support it.
#pragma once
#include <clipx/core/error.hpp>
#include <dnnl.hpp>

#include "isa.hpp"

namespace clipx::onednn {

using md = dnnl::memory::desc;

/// The three tensors of a convolution (or their gradients), and the movement of its window.
struct convolution {
  static constexpr auto how = dnnl::algorithm::convolution_direct;
  md x, weight, y;
  dnnl::memory::dim stride, pad;
  dnnl::memory::dims strides() const { return {stride, stride}; }
  dnnl::memory::dims pads() const { return {pad, pad}; }
};

/// Restricts oneDNN to CLIPX_MAX_ISA; to be called before its first use, once per process.
inline void limit_isa() {
  [[maybe_unused]] static const bool done = [] {
    using simd::isa;
    const isa most = simd::most_isa();
    if (most == isa::any) return true;
    const auto limit = most == isa::avx512 ? dnnl::cpu_isa::avx512_core
                       : most == isa::avx2 ? dnnl::cpu_isa::avx2
                                           : dnnl::cpu_isa::sse41;
    expect(dnnl::set_max_cpu_isa(limit) == dnnl::status::success, error_kind::device,
           [] { return std::string("CLIPX_MAX_ISA: oneDNN was in use before clipx and has chosen"); });
    return true;
  }();
}

#if DNNL_VERSION_MAJOR >= 3
inline dnnl::matmul::primitive_desc matmul(const dnnl::engine& e, const md& a, const md& b, const md& bias, const md& c,
                                           const dnnl::primitive_attr& attr) {
  if (bias.get_ndims() == 0) return {e, a, b, c, attr, true};
  return {e, a, b, bias, c, attr, true};
}
inline dnnl::convolution_forward::primitive_desc conv(const dnnl::engine& e, dnnl::prop_kind kind, const convolution& c,
                                                      const md& bias, const dnnl::primitive_attr& attr) {
  return {e, kind, convolution::how, c.x, c.weight, bias, c.y, c.strides(), c.pads(), c.pads(), attr, true};
}
inline dnnl::convolution_backward_data::primitive_desc conv_data(const dnnl::engine& e, const convolution& c,
                                                                 const dnnl::convolution_forward::primitive_desc& forward,
                                                                 const dnnl::primitive_attr& attr) {
  return {e, convolution::how, c.x, c.weight, c.y, c.strides(), c.pads(), c.pads(), forward, attr, true};
}
inline dnnl::convolution_backward_weights::primitive_desc conv_weights(const dnnl::engine& e, const convolution& c,
                                                                       const dnnl::convolution_forward::primitive_desc& forward,
                                                                       const dnnl::primitive_attr& attr) {
  return {e, convolution::how, c.x, c.weight, c.y, c.strides(), c.pads(), c.pads(), forward, attr, true};
}
inline void append(dnnl::post_ops& ops, dnnl::algorithm f, float alpha, float beta) { ops.append_eltwise(f, alpha, beta); }
#else
inline dnnl::matmul::primitive_desc matmul(const dnnl::engine& e, const md& a, const md& b, const md& bias, const md& c,
                                           const dnnl::primitive_attr& attr) {
  if (bias.dims().empty()) return {{a, b, c}, attr, e, true};
  return {{a, b, bias, c}, attr, e, true};
}
inline dnnl::convolution_forward::primitive_desc conv(const dnnl::engine& e, dnnl::prop_kind kind, const convolution& c,
                                                      const md& bias, const dnnl::primitive_attr& attr) {
  return {{kind, convolution::how, c.x, c.weight, bias, c.y, c.strides(), c.pads(), c.pads()}, attr, e, true};
}
inline dnnl::convolution_backward_data::primitive_desc conv_data(const dnnl::engine& e, const convolution& c,
                                                                 const dnnl::convolution_forward::primitive_desc& forward,
                                                                 const dnnl::primitive_attr& attr) {
  return {{convolution::how, c.x, c.weight, c.y, c.strides(), c.pads(), c.pads()}, attr, e, forward, true};
}
inline dnnl::convolution_backward_weights::primitive_desc conv_weights(const dnnl::engine& e, const convolution& c,
                                                                       const dnnl::convolution_forward::primitive_desc& forward,
                                                                       const dnnl::primitive_attr& attr) {
  return {{convolution::how, c.x, c.weight, c.y, c.strides(), c.pads(), c.pads()}, attr, e, forward, true};
}
inline void append(dnnl::post_ops& ops, dnnl::algorithm f, float alpha, float beta) { ops.append_eltwise(1.0f, f, alpha, beta); }
#endif

inline bool has(dnnl::cpu_isa isa) {
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & static_cast<unsigned>(isa)) == static_cast<unsigned>(isa);
}
/// Whether the processor has bf16 products.
inline bool native_bf16() { return has(dnnl::cpu_isa::avx512_core_bf16); }
/// Whether a convolution may add another tensor. Without AVX2, version 2.6 adds wrong elements, and 3.7 uses its slow reference.
inline bool conv_adds() { return has(dnnl::cpu_isa::avx2); }

inline const char* name_of(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "SSE4.1";
    case dnnl::cpu_isa::avx:
      return "AVX";
    case dnnl::cpu_isa::avx2:
      return "AVX2";
    case dnnl::cpu_isa::avx2_vnni:
      return "AVX2 with VNNI";
    case dnnl::cpu_isa::avx512_core:
      return "AVX-512";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "AVX-512 with VNNI";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "AVX-512 with VNNI and bf16";
    default:
      return native_bf16() ? "AVX-512 with VNNI, bf16 and more" : "the processor's default";
  }
}

}  // namespace clipx::onednn
