// Matrix products with cuBLASLt: row-major views, bf16 or float inputs, float sums, a bias in the epilogue; plans are kept per
// shape.
// tests/emulation/clipx/cuda/lt.cuh replaces this file where there is no device.
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
    fail(code == CUBLAS_STATUS_ALLOC_FAILED ? error_kind::out_of_memory : error_kind::device,
         cat("cuBLASLt: ", what, ": ", cublasLtGetStatusString(code), " (", at.file, ":", at.line, ")"), at);
}

class lt {
 public:
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what cuBLASLt recommends for Hopper
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
    check(cublasLtMatmul(handle_, plan.product, &p.alpha, p.b.data, plan.b, p.a.data, plan.a, &p.beta, p.c, plan.c, p.c, plan.c,
                         &algorithm, workspace_, workspace_bytes, stream),
          "a product");
  }

  /// The common alignment of a matrix's start and row stride in bytes, at most 16.
  static std::uint32_t alignment(const void* data, dim ld, bool bf16) {
    const auto bits = reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(ld * (bf16 ? 2 : 4)) | 16u;
    return static_cast<std::uint32_t>(bits & (~bits + 1));
  }
  struct alignments {
    std::uint32_t a, b, c;
    explicit alignments(const product& p)
        : a(alignment(p.a.data, p.a.ld, p.bf16_in)),
          b(alignment(p.b.data, p.b.ld, p.bf16_in)),
          c(alignment(p.c, p.ldc, p.bf16_out)) {}
  };
  using shape = std::array<std::int64_t, 9>;
  static shape shape_of(const product& p) {
    const alignments in(p);
    const int flags =
        (p.a.form == op::transpose) + 2 * (p.b.form == op::transpose) + 4 * p.bf16_in + 8 * p.bf16_out + 16 * (p.bias != nullptr);
    return {p.m, p.n, p.k, p.a.ld, p.b.ld, p.ldc, flags, std::bit_cast<std::int32_t>(p.beta), in.a + 32 * in.b + 1024 * in.c};
  }

  prepared& plan_of(const product& p, cudaStream_t stream) {
    const auto key = shape_of(p);
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    prepared made;
    describe(made, p);
    choose(made, p, stream);
    return plans_.emplace(key, made).first->second;
  }

  /// The product and its matrices in cuBLASLt's terms.
  void describe(prepared& made, const product& p) const {
    const auto type = p.bf16_in ? CUDA_R_16BF : CUDA_R_32F, type_c = p.bf16_out ? CUDA_R_16BF : CUDA_R_32F;
    const auto set = [&](auto what, const auto& v) {
      check(cublasLtMatmulDescSetAttribute(made.product, what, &v, sizeof v), "describing a product");
    };
    const auto layout = [](cublasLtMatrixLayout_t& to, cudaDataType t, op form, dim rows, dim cols,
                           dim ld) {  // of op(x), (rows, cols)
      const bool turned = form == op::transpose;
      check(cublasLtMatrixLayoutCreate(&to, t, static_cast<std::uint64_t>(turned ? rows : cols),
                                       static_cast<std::uint64_t>(turned ? cols : rows), ld),
            "describing a matrix");
    };
    check(cublasLtMatmulDescCreate(&made.product, tf32_ && !p.bf16_in ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                                   CUDA_R_32F),
          "describing a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.b.form == op::transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.a.form == op::transpose ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (p.bias) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_c);
      set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
    }
    layout(made.a, type, p.a.form, p.m, p.k, p.a.ld);
    layout(made.b, type, p.b.form, p.k, p.n, p.b.ld);
    layout(made.c, type_c, op::none, p.m, p.n, p.ldc);
  }

  /// Chooses an algorithm by cuBLASLt's heuristics, or by timing if requested.
  void choose(prepared& made, const product& p, cudaStream_t stream) {
    const alignments in(p);
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "querying algorithms");
    const auto prefer = [&](auto what, const auto& v) {
      check(cublasLtMatmulPreferenceSetAttribute(preference, what, &v, sizeof v), "querying algorithms");
    };
    prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_bytes});
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, in.b);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, in.a);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, in.c);
    prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, in.c);
    std::array<cublasLtMatmulHeuristicResult_t, 8> found{};
    int count = 0;
    const auto code = cublasLtMatmulAlgoGetHeuristic(handle_, made.product, made.b, made.a, made.c, made.c, preference,
                                                     autotune_ ? static_cast<int>(found.size()) : 1, found.data(), &count);
    cublasLtMatmulPreferenceDestroy(preference);
    check(code, "querying algorithms");
    expect(count > 0, error_kind::device, [&] { return cat("cuBLASLt has no product for ", p.m, " x ", p.k, " x ", p.n); });
    made.algorithm = found[0].algo;
    if (count > 1 && p.beta == 0)
      made.algorithm = fastest(made, p, std::span(found).first(static_cast<std::size_t>(count)), stream);
  }

  /// Runs each algorithm twice and times the second run; only if c does not depend on its previous contents.
  cublasLtMatmulAlgo_t fastest(const prepared& made, const product& p, std::span<const cublasLtMatmulHeuristicResult_t> found,
                               cudaStream_t stream) {
    cudaEvent_t start, stop;
    check(cudaEventCreate(&start), "making an event");
    check(cudaEventCreate(&stop), "making an event");
    auto best = found[0].algo;
    float least = INFINITY;
    for (auto& f : found) {
      run(made, f.algo, p, stream);
      check(cudaEventRecord(start, stream), "timing");
      run(made, f.algo, p, stream);
      check(cudaEventRecord(stop, stream), "timing");
      check(cudaEventSynchronize(stop), "timing");
      float ms = 0;
      check(cudaEventElapsedTime(&ms, start, stop), "timing");
      if (ms >= least) continue;
      least = ms;
      best = f.algo;
    }
    cudaEventDestroy(start);
    cudaEventDestroy(stop);
    return best;
  }

  cublasLtHandle_t handle_ = nullptr;
  void* workspace_;
  bool tf32_, autotune_;
  std::map<shape, prepared> plans_;
};

}  // namespace clipx::gpu
