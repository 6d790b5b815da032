// A device as the backend holds it: stream, pool, cuBLASLt, staging memory; and the engine's own members.
#pragma once
#include <array>
#include <clipx/lt.cuh>
#include <optional>

#include "cuda.hpp"
#include "runtime.cuh"

namespace clipx::detail {

struct cuda_engine::state {
  cuda_options options;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::optional<gpu::lt> blas;
  int processors = 1, shared_bytes = 48 << 10;  // streaming multiprocessors; the most shared memory of a block

  /// Two pinned buffers that take turns: while the device reads one the host fills the other.
  struct staging {
    void* data = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t read = nullptr;  // the last copy from here is done
  };
  std::array<staging, 2> pinned;
  std::size_t turn = 0;

  void use() const { gpu::check(cudaSetDevice(options.device), "choosing the device"); }

  /// Pinned memory of at least `bytes` that the device no longer reads.
  staging& next_pinned(std::size_t bytes) {
    auto& p = pinned[turn++ % pinned.size()];
    if (!p.read) gpu::check(cudaEventCreateWithFlags(&p.read, cudaEventDisableTiming), "making an event");
    gpu::check(cudaEventSynchronize(p.read), "waiting for a copy");
    if (p.bytes < bytes) {
      if (p.data) gpu::check(cudaFreeHost(p.data), "giving back pinned memory");
      p.data = nullptr, p.bytes = 0;
      gpu::check(cudaHostAlloc(&p.data, bytes, cudaHostAllocDefault), "pinning memory");
      p.bytes = bytes;
    }
    return p;
  }
};

CLIPX_CUDA_INLINE cuda_engine::cuda_engine(const cuda_options& o) : state_(std::make_unique<state>()) {
  const auto missing = cuda_missing();
  expect(missing.empty(), [&] { return cat("cuda: ", missing); });
  int count = 0;
  gpu::check(cudaGetDeviceCount(&count), "counting devices");
  expect(o.device >= 0 && o.device < count, [&] { return cat("cuda: device ", o.device, ": this machine has 0 to ", count - 1); });
  auto& s = *state_;
  s.options = o;
  s.use();
  gpu::check(cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking), "making a stream");
  const auto ask = [&](int& to, cudaDeviceAttr what) {
    gpu::check(cudaDeviceGetAttribute(&to, what, o.device), "asking for the device");
  };
  ask(s.processors, cudaDevAttrMultiProcessorCount), ask(s.shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin);
  cudaMemPool_t pool;
  std::uint64_t keep = ~std::uint64_t{0};  // freed memory stays in the pool
  gpu::check(cudaDeviceGetDefaultMemPool(&pool, o.device), "the memory pool");
  gpu::check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool");
  s.workspace = allocate(static_cast<dim>(gpu::lt::workspace_bytes));
  s.blas.emplace(s.workspace, o.tf32, o.autotune);
}

CLIPX_CUDA_INLINE cuda_engine::~cuda_engine() {
  auto& s = *state_;
  if (!s.stream) return;
  cudaSetDevice(s.options.device);
  cudaStreamSynchronize(s.stream);
  for (auto& p : s.pinned) {
    if (p.data) cudaFreeHost(p.data);
    if (p.read) cudaEventDestroy(p.read);
  }
  s.blas.reset();
  cudaFree(s.workspace);
  cudaStreamDestroy(s.stream);
}

CLIPX_CUDA_INLINE void cuda_engine::sync() { gpu::check(cudaStreamSynchronize(state_->stream), "waiting for the device"); }

CLIPX_CUDA_INLINE void* cuda_engine::allocate(dim bytes) {
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
CLIPX_CUDA_INLINE void cuda_engine::release(void* p) { cudaFree(p); }
CLIPX_CUDA_INLINE void cuda_engine::poison(std::byte* p, dim bytes) {
  gpu::check(cudaMemsetAsync(p, 0xff, static_cast<std::size_t>(bytes), state_->stream), "poisoning memory");
}

CLIPX_CUDA_INLINE std::string cuda_engine::describe() const {
  cudaDeviceProp p{};
  int driver = 0, runtime = 0;
  gpu::check(cudaGetDeviceProperties(&p, state_->options.device), "asking for the device");
  gpu::check(cudaDriverGetVersion(&driver), "asking for the driver"),
      gpu::check(cudaRuntimeGetVersion(&runtime), "asking for the runtime");
  return cat(p.name, ", compute capability ", p.major, ".", p.minor, ", ", p.totalGlobalMem >> 20, " MiB; CUDA ", runtime / 1000,
             ".", runtime % 1000 / 10, ", driver for ", driver / 1000, ".", driver % 1000 / 10, "; cuBLASLt ", gpu::lt::version(),
             state_->options.tf32 ? ", TF32" : "");
}

}  // namespace clipx::detail

namespace clipx {
CLIPX_CUDA_INLINE std::string cuda_missing() {
  int count = 0;
  const auto code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return {};
  (void)cudaGetLastError();
  if (code == cudaErrorInsufficientDriver) return "no NVIDIA driver here, or one too old for this program";
  return "no NVIDIA GPU was found here";
}
}  // namespace clipx
