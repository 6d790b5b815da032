// A device as the backend holds it: stream, pool, cuBLASLt handle, staging memory; and the engine's own members.
#pragma once
#include <cublasLt.h>

#include <array>
#include <map>
#include <vector>

#include "cuda.hpp"
#include "runtime.cuh"

namespace clipx::detail {

inline void check_blas(cublasStatus_t code, const char* what, where at = {}) {
  if (code != CUBLAS_STATUS_SUCCESS) fail(cat("cuBLASLt: ", what, ": ", cublasLtGetStatusString(code), " (", at.file, ":", at.line, ")"), at);
}

struct cuda_engine::state {
  cuda_options options;
  cudaStream_t stream = nullptr;
  cudaMemPool_t pool = nullptr;
  cublasLtHandle_t blas = nullptr;
  void* workspace = nullptr;
  static constexpr std::size_t workspace_bytes = std::size_t{32} << 20;  // what cuBLASLt asks for on Hopper

  struct plan {
    cublasLtMatmulDesc_t product = nullptr;
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
  };
  std::map<std::array<std::int64_t, 10>, plan> plans;

  /// Two pinned buffers that take turns: a copy to the device starts while the host fills the next one.
  struct staging {
    void* data = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t free = nullptr;
  };
  std::array<staging, 2> pinned;
  std::size_t turn = 0;

  void use() const { gpu::check(cudaSetDevice(options.device), "choosing the device"); }
};

/// Pinned memory of at least `bytes`, once the device no longer reads what was put there before.
inline cuda_engine::state::staging& next_pinned(cuda_engine::state& s, std::size_t bytes) {
  auto& p = s.pinned[s.turn++ % s.pinned.size()];
  if (!p.free) gpu::check(cudaEventCreateWithFlags(&p.free, cudaEventDisableTiming), "making an event");
  gpu::check(cudaEventSynchronize(p.free), "waiting for a copy");
  if (p.bytes < bytes) {
    if (p.data) gpu::check(cudaFreeHost(p.data), "giving back pinned memory");
    p.data = nullptr, p.bytes = 0;
    gpu::check(cudaHostAlloc(&p.data, bytes, cudaHostAllocDefault), "pinning memory");
    p.bytes = bytes;
  }
  return p;
}

inline cuda_engine::cuda_engine(const cuda_options& o) : state_(std::make_unique<state>()) {
  const auto missing = cuda_missing();
  expect(missing.empty(), missing);
  int count = 0;
  gpu::check(cudaGetDeviceCount(&count), "counting devices");
  expect(o.device >= 0 && o.device < count, [&] { return cat("cuda: device ", o.device, ": this machine has 0 to ", count - 1); });
  auto& s = *state_;
  s.options = o;
  s.use();
  gpu::check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "making a stream");
  gpu::check(cudaDeviceGetDefaultMemPool(&s.pool, o.device), "the memory pool");
  std::uint64_t keep = ~std::uint64_t{0};  // freed memory stays in the pool
  gpu::check(cudaMemPoolSetAttribute(s.pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool");
  check_blas(cublasLtCreate(&s.blas), "starting");
  s.workspace = allocate(static_cast<dim>(state::workspace_bytes));
}

inline cuda_engine::~cuda_engine() {
  auto& s = *state_;
  if (!s.stream) return;
  cudaSetDevice(s.options.device);
  cudaStreamSynchronize(s.stream);
  for (auto& [key, p] : s.plans) {
    if (p.product) cublasLtMatmulDescDestroy(p.product);
    for (auto layout : {p.a, p.b, p.c})
      if (layout) cublasLtMatrixLayoutDestroy(layout);
  }
  for (auto& p : s.pinned) {
    if (p.data) cudaFreeHost(p.data);
    if (p.free) cudaEventDestroy(p.free);
  }
  if (s.workspace) cudaFree(s.workspace);
  if (s.blas) cublasLtDestroy(s.blas);
  cudaStreamDestroy(s.stream);
}

inline void cuda_engine::sync() {
  gpu::check(cudaStreamSynchronize(state_->stream), "waiting for the device");
}

inline void* cuda_engine::allocate(dim bytes) {
  auto& s = *state_;
  s.use();
  const auto n = static_cast<std::size_t>(std::max<dim>(bytes, 1));
  void* p = nullptr;
  const auto code = cudaMallocAsync(&p, n, s.stream);
  if (code == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    gpu::check(cudaMemGetInfo(&free, &total), "asking for free memory");
    fail(cat("cuda: out of memory: wanted ", n, " bytes, device ", s.options.device, " has ", free, " of ", total, " free"));
  }
  gpu::check(code, "allocating memory");
  gpu::check(cudaMemsetAsync(p, 0, n, s.stream), "clearing memory");
  return p;
}
inline void cuda_engine::release(void* p) { cudaFree(p); }
inline void cuda_engine::poison(std::byte* p, dim bytes) {
  gpu::check(cudaMemsetAsync(p, 0xff, static_cast<std::size_t>(bytes), state_->stream), "poisoning memory");
}

}  // namespace clipx::detail
