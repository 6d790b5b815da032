// Stands in for the backend's lt.cuh (cuBLASLt): the same interface, three loops, float sums by fused
// multiply-adds, as a device makes them.
#pragma once
#include <clipx/cuda/runtime.cuh>
#include <string>

namespace clipx::gpu {

class lt {
 public:
  static constexpr std::size_t workspace_bytes = 1;
  lt(void*, bool, bool) {}
  static std::string version() { return "three loops"; }

  void gemm(const product& p, cudaStream_t) {
    emulation::submit([p] {
      if (p.bf16_in && p.bf16_out) loops<bf16, bf16>(p);
      else if (p.bf16_in) loops<bf16, float>(p);
      else loops<float, float>(p);
      return true;
    });
  }

 private:
  template <class A, class C>
  static void loops(const product& p) {
    const auto at = [](const product::operand& x, dim r, dim c) {
      return value(static_cast<const A*>(x.data)[x.form == op::none ? r * x.ld + c : c * x.ld + r]);
    };
    for (dim i = 0; i < p.m; ++i)
      for (dim j = 0; j < p.n; ++j) {
        float sum = 0;
        for (dim l = 0; l < p.k; ++l) sum = fmaf(at(p.a, i, l), at(p.b, l, j), sum);
        C& c = static_cast<C*>(p.c)[i * p.ldc + j];
        sum *= p.alpha;
        if (p.beta != 0) sum += p.beta * value(c);
        if (p.bias) sum += value(static_cast<const C*>(p.bias)[j]);
        c = stored<C>(sum);
      }
  }
};

}  // namespace clipx::gpu
