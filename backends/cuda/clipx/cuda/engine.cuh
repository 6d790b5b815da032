// A device as the backend holds it: lanes, each with its stream, cuBLASLt, staging memory and arena; and the engine's own members.
#pragma once
#include <array>
#include <clipx/core/working_memory.hpp>
#include <clipx/cuda/lt.cuh>
#include <map>
#include <mutex>
#include <optional>
#include <vector>

#include "engine.hpp"
#include "runtime.cuh"

namespace clipx::detail {

/// What all lanes share.
struct cuda_engine::state {
  cuda_options options;
  int processors = 1, shared_bytes = 48 << 10;  // multiprocessors; shared memory per multiprocessor
  std::mutex guard;                             // of frozen
  std::map<const char*, dim> frozen;            // ranges: first byte, bytes
  per_thread<lane> lanes;

  explicit state(const cuda_options& o);
  /// With debug checks: throws if any of these bytes are frozen.
  void expect_thawed(const void* data, dim bytes) {
    if (!detail::checks_enabled()) return;
    const std::lock_guard lock(guard);
    const auto* begin = static_cast<const char*>(data);
    const auto after = frozen.lower_bound(begin + bytes);  // ranges do not overlap: the last that begins before the end decides
    if (bytes == 0 || after == frozen.begin()) return;
    const auto& weight = *std::prev(after);
    expect(weight.first + weight.second <= begin,
           [&] { return cat("cuda: a verb writes to a frozen weight of ", weight.second, " bytes: thaw it first"); });
  }
};

/// Where the work of one thread at a time goes. What is in it is in stream order.
struct cuda_engine::lane {
  state& shared;
  const int processors, shared_bytes;
  struct destroy {
    void operator()(cudaStream_t s) const { cudaStreamDestroy(s); }
  };
  std::unique_ptr<std::remove_pointer_t<cudaStream_t>, destroy> owned;  // the stream: it goes last
  cudaStream_t stream = nullptr;
  arena memory;
  void* workspace = nullptr;
  std::optional<gpu::lt> blas;

  explicit lane(state& s);
  ~lane();
  lane(const lane&) = delete;
  /// Zeroed device memory.
  void* allocate(dim bytes);
  arena make_arena();

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

  void expect_thawed(const void* data, dim bytes) const { shared.expect_thawed(data, bytes); }
  void use() const { gpu::check(cudaSetDevice(shared.options.device), "choosing the device"); }  // for the calling thread

  /// y (rows of row_bytes, `step` apart) = what fill writes to pinned memory: the caller's values may change once this returns.
  void upload(void* y, std::size_t step, std::size_t row_bytes, std::size_t rows, function_ref<void(char*)> fill);

  template <class F>
  void each_staging(F&& f) {
    for (auto& p : large_uploads.buffers) f(p);
    for (auto& p : small_uploads.buffers) f(p);
  }
};

/// A recorded sequence of calls, and the host values that its uploads read.
struct cuda_engine::lane::graph {
  cudaStream_t stream;  // that it was launched on last
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

void cuda_engine::lane::upload(void* y, std::size_t step, std::size_t row_bytes, std::size_t rows, function_ref<void(char*)> fill) {
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

cuda_engine::state::state(const cuda_options& o)
    : options(o), lanes(this, [](void* self) { return std::make_unique<lane>(*static_cast<state*>(self)); }) {
  const auto ask = [&](int& to, cudaDeviceAttr what) {
    gpu::check(cudaDeviceGetAttribute(&to, what, o.device), "querying the device");
  };
  ask(processors, cudaDevAttrMultiProcessorCount);
  ask(shared_bytes, cudaDevAttrMaxSharedMemoryPerMultiprocessor);
}

cuda_engine::lane::lane(state& s) : shared(s), processors(s.processors), shared_bytes(s.shared_bytes), memory(make_arena()) {
  use();
  gpu::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  owned.reset(stream);
  workspace = allocate(static_cast<dim>(gpu::lt::workspace_bytes));
  blas.emplace(workspace, s.options.tf32, s.options.autotune);
}

cuda_engine::lane::~lane() {
  if (!stream) return;
  cudaSetDevice(shared.options.device);
  cudaStreamSynchronize(stream);
  each_staging([](auto& p) {
    if (p.data) cudaFreeHost(p.data);
    if (p.read) cudaEventDestroy(p.read);
  });
  blas.reset();
  cudaFree(workspace);
}

void* cuda_engine::lane::allocate(dim bytes) {
  const auto n = static_cast<std::size_t>(std::max<dim>(bytes, 1));
  void* p = nullptr;
  const auto code = cudaMallocAsync(&p, n, stream);
  if (code == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    std::size_t free = 0, total = 0;
    gpu::check(cudaMemGetInfo(&free, &total), "querying free memory");
    fail(error_kind::out_of_memory,
         cat("cuda: out of memory: wanted ", n, " bytes, device ", shared.options.device, " has ", free, " of ", total, " free"));
  }
  gpu::check(code, "allocating memory");
  gpu::check(cudaMemsetAsync(p, 0, n, stream), "clearing memory");
  return p;
}

arena cuda_engine::lane::make_arena() {
  return {
      this,
      [](void* l, dim n) { return buffer<std::byte>(static_cast<std::byte*>(static_cast<lane*>(l)->allocate(n)), n, &release); },
      [](void* l, std::byte* p, dim n) {
        gpu::check(cudaMemsetAsync(p, 0xff, static_cast<std::size_t>(n), static_cast<lane*>(l)->stream), "poisoning memory");
      }};
}

cuda_engine::lane& cuda_engine::get() const {
  auto& own = state_->lanes.mine();
  own.use();
  return own;
}
cuda_engine::cuda_engine(const cuda_options& o) {
  const auto missing = cuda_missing();
  expect(missing.empty(), error_kind::device, [&] { return cat("cuda: ", missing); });
  int count = 0;
  gpu::check(cudaGetDeviceCount(&count), "counting devices");
  expect(o.device >= 0 && o.device < count, error_kind::device,
         [&] { return cat("cuda: device ", o.device, ": this machine has 0 to ", count - 1); });
  gpu::check(cudaSetDevice(o.device), "choosing the device");
  cudaMemPool_t pool;
  std::uint64_t keep = ~std::uint64_t{0};  // freed memory stays in the pool
  gpu::check(cudaDeviceGetDefaultMemPool(&pool, o.device), "the memory pool");
  gpu::check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "the memory pool");
  state_ = std::make_unique<state>(o);
  get();  // the first lane: what is missing is said here
}
cuda_engine::~cuda_engine() = default;

void cuda_engine::enter() { state_->lanes.enter(); }
void cuda_engine::leave() { state_->lanes.leave(); }
arena& cuda_engine::memory() const { return state_->lanes.mine().memory; }
void cuda_engine::sync() { gpu::check(cudaStreamSynchronize(get().stream), "waiting for the device"); }
void* cuda_engine::allocate(dim bytes) { return get().allocate(bytes); }
void cuda_engine::release(void* p) { cudaFree(p); }
arena cuda_engine::make_arena() { return get().make_arena(); }

void cuda_engine::freeze(const void* data, dim bytes) {
  const std::lock_guard lock(state_->guard);
  state_->frozen[static_cast<const char*>(data)] = bytes;
}
void cuda_engine::thaw(const void* data) {
  const std::lock_guard lock(state_->guard);
  state_->frozen.erase(static_cast<const char*>(data));
}

std::shared_ptr<void> cuda_engine::record(function_ref<void()> body) {
  auto& s = get();
  auto made = std::make_shared<lane::graph>(s.stream);
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
  auto& own = get();
  auto& g = *static_cast<lane::graph*>(recorded);
  g.stream = own.stream;
  gpu::check(cudaGraphLaunch(g.exec, own.stream), "replaying a graph");
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
