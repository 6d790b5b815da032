// The state of a device: stream, memory pool, cuBLASLt, staging memory; and the engine's members.
#pragma once
#include <array>
#include <clipx/cuda/lt.cuh>
#include <map>
#include <optional>
#include <vector>

#include "engine.hpp"
#include "runtime.cuh"

namespace clipx::detail {

struct cuda_engine::state {
  cuda_options options;
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::optional<gpu::lt> blas;
  int processors = 1, shared_bytes = 48 << 10;  // multiprocessors; shared memory per multiprocessor

  /// Pinned buffers used in turn: while the device reads one, the host fills another. There are two for images, and for ids and row
  /// ranges, of which a step has a few, enough that no step waits for the device to reach the copies of the previous one.
  struct staging {
    void* data = nullptr;
    std::size_t bytes = 0;
    cudaEvent_t read = nullptr;  // recorded after the last copy from here
  };
  template <std::size_t Count>
  struct turns {
    std::array<staging, Count> buffers;
    std::size_t turn = 0;
    staging& next() { return buffers[turn++ % Count]; }
  };
  static constexpr std::size_t small = 64 << 10;  // bytes
  turns<2> large_uploads;
  turns<32> small_uploads;
  struct graph;
  graph* recording = nullptr;  // if set, calls are recorded and not run

  std::map<const char*, dim> frozen;  // ranges: first byte, bytes
  /// In debug builds, throws if any of these bytes are frozen.
  void expect_thawed([[maybe_unused]] const void* data, [[maybe_unused]] dim bytes) const {
#ifndef NDEBUG
    const auto* begin = static_cast<const char*>(data);
    const auto after = frozen.lower_bound(begin + bytes);  // ranges do not overlap: the last one that begins before the end decides
    if (bytes == 0 || after == frozen.begin()) return;
    const auto& weight = *std::prev(after);
    expect(weight.first + weight.second <= begin,
           [&] { return cat("cuda: a verb writes to a frozen weight of ", weight.second, " bytes: thaw it first"); });
#endif
  }

  void use() const { gpu::check(cudaSetDevice(options.device), "choosing the device"); }  // for the calling thread

  /// y (rows of row_bytes, `step` apart) = what fill writes to pinned memory: the caller's values may change once this returns.
  void upload(void* y, std::size_t step, std::size_t row_bytes, std::size_t rows, function_ref<void(char*)> fill);

  template <class F>
  void each_staging(F&& f) {
    for (auto& p : large_uploads.buffers) f(p);
    for (auto& p : small_uploads.buffers) f(p);
  }
};

/// A recorded sequence of calls, and the host values that its uploads read.
struct cuda_engine::state::graph {
  cudaStream_t stream;
  cudaGraphExec_t exec = nullptr;
  std::vector<void*> pinned;
  explicit graph(cudaStream_t s) : stream(s) {}
  graph(const graph&) = delete;
  ~graph() {
    cudaStreamSynchronize(stream);
    if (exec) cudaGraphExecDestroy(exec);
    for (auto* p : pinned) cudaFreeHost(p);
  }
};

void cuda_engine::state::upload(void* y, std::size_t step, std::size_t row_bytes, std::size_t rows,
                                function_ref<void(char*)> fill) {
  const std::size_t bytes = row_bytes * rows;
  const auto copy = [&](void* from) {
    fill(static_cast<char*>(from));
    gpu::check(rows == 1 ? cudaMemcpyAsync(y, from, bytes, cudaMemcpyHostToDevice, stream)
                         : cudaMemcpy2DAsync(y, step, from, row_bytes, row_bytes, rows, cudaMemcpyHostToDevice, stream),
               "copying to the device");
  };
  if (recording) {
    gpu::check(cudaHostAlloc(&recording->pinned.emplace_back(), bytes, cudaHostAllocDefault), "pinning memory");
    return copy(recording->pinned.back());
  }
  auto& p = bytes <= small ? small_uploads.next() : large_uploads.next();
  if (!p.read) gpu::check(cudaEventCreateWithFlags(&p.read, cudaEventDisableTiming), "making an event");
  gpu::check(cudaEventSynchronize(p.read), "waiting for a copy");
  if (p.bytes < bytes) {
    if (p.data) gpu::check(cudaFreeHost(p.data), "freeing pinned memory");
    p.data = nullptr;
    p.bytes = 0;
    gpu::check(cudaHostAlloc(&p.data, std::max(bytes, small), cudaHostAllocDefault), "pinning memory");
    p.bytes = std::max(bytes, small);
  }
  copy(p.data);
  gpu::check(cudaEventRecord(p.read, stream), "copying to the device");
}

cuda_engine::state& cuda_engine::get() const {
  state_->use();
  return *state_;
}
cuda_engine::cuda_engine(const cuda_options& o) : state_(std::make_unique<state>()) {
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
    gpu::check(cudaDeviceGetAttribute(&to, what, o.device), "querying the device");
  };
  ask(s.processors, cudaDevAttrMultiProcessorCount);
  ask(s.shared_bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
  cudaMemPool_t pool;
  std::uint64_t keep = ~std::uint64_t{0};  // freed memory stays in the pool
  gpu::check(cudaDeviceGetDefaultMemPool(&pool, o.device), "the memory pool");
  gpu::check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool");
  s.workspace = allocate(static_cast<dim>(gpu::lt::workspace_bytes));
  s.blas.emplace(s.workspace, o.tf32, o.autotune);
}

cuda_engine::~cuda_engine() {
  auto& s = *state_;
  if (!s.stream) return;
  cudaSetDevice(s.options.device);
  cudaStreamSynchronize(s.stream);
  s.each_staging([](auto& p) {
    if (p.data) cudaFreeHost(p.data);
    if (p.read) cudaEventDestroy(p.read);
  });
  s.blas.reset();
  cudaFree(s.workspace);
  cudaStreamDestroy(s.stream);
}

void cuda_engine::sync() { gpu::check(cudaStreamSynchronize(get().stream), "waiting for the device"); }

void* cuda_engine::allocate(dim bytes) {
  auto& s = get();
  const auto n = static_cast<std::size_t>(std::max<dim>(bytes, 1));
  void* p = nullptr;
  const auto code = cudaMallocAsync(&p, n, s.stream);
  if (code == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    gpu::check(cudaMemGetInfo(&free, &total), "querying free memory");
    fail(cat("cuda: out of memory: wanted ", n, " bytes, device ", s.options.device, " has ", free, " of ", total, " free"));
  }
  gpu::check(code, "allocating memory");
  gpu::check(cudaMemsetAsync(p, 0, n, s.stream), "clearing memory");
  return p;
}
void cuda_engine::release(void* p) { cudaFree(p); }
void cuda_engine::poison(std::byte* p, dim bytes) {
  gpu::check(cudaMemsetAsync(p, 0xff, static_cast<std::size_t>(bytes), get().stream), "poisoning memory");
}

arena cuda_engine::make_arena() {
  return {this,
          [](void* e, dim n) {
            return buffer<std::byte>(static_cast<std::byte*>(static_cast<cuda_engine*>(e)->allocate(n)), n, &release);
          },
          [](void* e, std::byte* p, dim n) { static_cast<cuda_engine*>(e)->poison(p, n); }};
}

void cuda_engine::freeze(const void* data, dim bytes) { state_->frozen[static_cast<const char*>(data)] = bytes; }
void cuda_engine::thaw(const void* data) { state_->frozen.erase(static_cast<const char*>(data)); }

std::shared_ptr<void> cuda_engine::record(function_ref<void()> body) {
  auto& s = get();
  auto made = std::make_shared<state::graph>(s.stream);
  // Relaxed, because pinned memory is allocated while calls are recorded.
  gpu::check(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeRelaxed), "recording");
  s.recording = made.get();
  cudaGraph_t calls = nullptr;
  try {
    body();
  } catch (...) {
    s.recording = nullptr;
    if (cudaStreamEndCapture(s.stream, &calls) == cudaSuccess && calls) cudaGraphDestroy(calls);
    (void)cudaGetLastError();
    throw;
  }
  s.recording = nullptr;
  gpu::check(cudaStreamEndCapture(s.stream, &calls), "recording");
  const auto code = cudaGraphInstantiate(&made->exec, calls, 0);
  cudaGraphDestroy(calls);
  gpu::check(code, "making a graph of what was recorded");
  return made;
}
void cuda_engine::replay(void* recorded) {
  gpu::check(cudaGraphLaunch(static_cast<state::graph*>(recorded)->exec, get().stream), "replaying a graph");
}

std::string cuda_engine::describe() const {
  cudaDeviceProp p{};
  int driver = 0, runtime = 0;
  gpu::check(cudaGetDeviceProperties(&p, state_->options.device), "querying the device");
  gpu::check(cudaDriverGetVersion(&driver), "querying the driver");
  gpu::check(cudaRuntimeGetVersion(&runtime), "querying the runtime");
  return cat(p.name, ", compute capability ", p.major, ".", p.minor, ", ", p.totalGlobalMem >> 20, " MiB; CUDA ", runtime / 1000,
             ".", runtime % 1000 / 10, ", driver for ", driver / 1000, ".", driver % 1000 / 10, "; cuBLASLt ", gpu::lt::version(),
             state_->options.tf32 ? ", TF32" : "");
}

}  // namespace clipx::detail

namespace clipx {
std::string cuda_missing() {
  int count = 0;
  const auto code = cudaGetDeviceCount(&count);
  if (code == cudaSuccess && count > 0) return {};
  (void)cudaGetLastError();
  if (code == cudaErrorInsufficientDriver) return "no NVIDIA driver here, or one too old for this program";
  return "no NVIDIA GPU was found here";
}
}  // namespace clipx
