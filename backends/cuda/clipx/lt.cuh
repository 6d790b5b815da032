// Matrix products by cuBLASLt: row-major views, bf16 or float in, float sums, a bias in the epilogue; plans kept for each shape.
// tests/emulation/clipx/lt.cuh stands in for this file where there is no device.
#pragma once
#include <cublasLt.h>

#include <array>
#include <bit>
#include <map>
#include <span>

#include "runtime.cuh"

namespace clipx::gpu {

inline void check(cublasStatus_t code, const char* what, where at = where::here()) {
  if (code != CUBLAS_STATUS_SUCCESS)
    fail(cat("cuBLASLt: ", what, ": ", cublasLtGetStatusString(code), " (", at.file, ":", at.line, ")"), at);
}

class lt {
 public:
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what cuBLASLt asks for on Hopper
  /// workspace: workspace_bytes of device memory.
  lt(void* workspace, bool tf32, bool autotune) : workspace_(workspace), tf32_(tf32), autotune_(autotune) {
    check(cublasLtCreate(&handle_), "starting");
  }
  ~lt() {
    for (auto& [key, p] : plans_) {
      cublasLtMatmulDescDestroy(p.product);
      for (auto layout : {p.a, p.b, p.c}) cublasLtMatrixLayoutDestroy(layout);
    }
    cublasLtDestroy(handle_);
  }
  lt(const lt&) = delete;
  static std::string version() { return std::to_string(cublasLtGetVersion()); }

  void gemm(const product& p, cudaStream_t stream) {
    auto& plan = plan_of(p, stream);
    if (p.bias)
      check(cublasLtMatmulDescSetAttribute(plan.product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &p.bias, sizeof p.bias), "the bias");
    run(plan, plan.algorithm, p, stream);
  }

 private:
  struct prepared {
    cublasLtMatmulDesc_t product = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
  };

  void run(const prepared& plan, const cublasLtMatmulAlgo_t& algorithm, const product& p, cudaStream_t stream) {
    // Row-major is the transpose of column-major: c^T = op(b)^T op(a)^T.
    check(cublasLtMatmul(handle_, plan.product, &p.alpha, p.b, plan.b, p.a, plan.a, &p.beta, p.c, plan.c, p.c, plan.c, &algorithm,
                         workspace_, workspace_bytes, stream),
          "a product");
  }

  prepared& plan_of(const product& p, cudaStream_t stream) {
    const auto alignment = [](const void* q, dim ld, bool half) {  // bytes that start and step have in common, at most 16
      const auto bits = reinterpret_cast<std::uintptr_t>(q) | static_cast<std::uintptr_t>(ld * (half ? 2 : 4)) | 16u;
      return static_cast<std::uint32_t>(bits & (~bits + 1));
    };
    const std::uint32_t in_a = alignment(p.a, p.lda, p.half), in_b = alignment(p.b, p.ldb, p.half),
                        in_c = alignment(p.c, p.ldc, p.half_c);
    const std::array<std::int64_t, 9> key{
        p.m,
        p.n,
        p.k,
        p.lda,
        p.ldb,
        p.ldc,
        (p.ta == op::transpose) + 2 * (p.tb == op::transpose) + 4 * p.half + 8 * p.half_c + 16 * (p.bias != nullptr),
        std::bit_cast<std::int32_t>(p.beta),
        in_a + 32 * in_b + 1024 * in_c};
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;

    prepared made;
    const auto compute = tf32_ && !p.half ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
    const auto type = p.half ? CUDA_R_16BF : CUDA_R_32F, type_c = p.half_c ? CUDA_R_16BF : CUDA_R_32F;
    const auto set = [&](auto what, const auto& v) {
      check(cublasLtMatmulDescSetAttribute(made.product, what, &v, sizeof v), "describing a product");
    };
    const auto layout = [&](cublasLtMatrixLayout_t& to, cudaDataType t, op o, dim rows, dim cols,
                            dim ld) {  // of op(x), (rows, cols)
      const bool turned = o == op::transpose;
      check(cublasLtMatrixLayoutCreate(&to, t, static_cast<std::uint64_t>(turned ? rows : cols),
                                       static_cast<std::uint64_t>(turned ? cols : rows), ld),
            "describing a matrix");
    };
    check(cublasLtMatmulDescCreate(&made.product, compute, CUDA_R_32F), "describing a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.tb == op::transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.ta == op::transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_c);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    layout(made.a, type, p.ta, p.m, p.k, p.lda), layout(made.b, type, p.tb, p.k, p.n, p.ldb);
    layout(made.c, type_c, op::none, p.m, p.n, p.ldc);

    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "asking for algorithms");
    const auto prefer = [&](auto what, const auto& v) {
      check(cublasLtMatmulPreferenceSetAttribute(preference, what, &v, sizeof v), "asking for algorithms");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, in_b), prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in_a);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, in_c), prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, in_c);
    std::array<cublasLtMatmulHeuristicResult_t, 8> found{};
    int count = 0;
    const auto code = cublasLtMatmulAlgoGetHeuristic(handle_, made.product, made.b, made.a, made.c, made.c, preference,
                                                     autotune_ ? static_cast<int>(found.size()) : 1, found.data(), &count);
    cublasLtMatmulPreferenceDestroy(preference);
    check(code, "asking for algorithms");
    expect(count > 0, [&] { return cat("cuBLASLt has no product for ", p.m, " x ", p.k, " x ", p.n); });
    made.algorithm = found[0].algo;
    if (count > 1 && p.beta == 0)
      made.algorithm = fastest(made, p, std::span(found).first(static_cast<std::size_t>(count)), stream);
    return plans_.emplace(key, made).first->second;
  }

  /// Each algorithm twice, the second run timed; only where c does not depend on what it held.
  cublasLtMatmulAlgo_t fastest(const prepared& made, const product& p, std::span<const cublasLtMatmulHeuristicResult_t> found,
                               cudaStream_t stream) {
    cudaEvent_t start, stop;
    check(cudaEventCreate(&start), "making an event"), check(cudaEventCreate(&stop), "making an event");
    auto best = found[0].algo;
    float least = INFINITY;
    for (auto& f : found) {
      run(made, f.algo, p, stream);
      check(cudaEventRecord(start, stream), "timing"), run(made, f.algo, p, stream), check(cudaEventRecord(stop, stream), "timing");
      check(cudaEventSynchronize(stop), "timing");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, start, stop), "timing");
      if (ms < least) least = ms, best = f.algo;
    }
    cudaEventDestroy(start), cudaEventDestroy(stop);
    return best;
  }

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  bool tf32_, autotune_;
  std::map<std::array<std::int64_t, 9>, prepared> plans_;
};

}  // namespace clipx::gpu
