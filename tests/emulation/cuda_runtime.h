// Stands in for CUDA's <cuda_runtime.h>: the backend's own .cu text, compiled by a C++ compiler, with what it uses of CUDA and no
// more. "Device" memory is the host's; calls are done when they return; kernels run as fibers.hpp says.
#pragma once
#include <math.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "fibers.hpp"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)
// No __shared__: what is static and shared is declared by CLIPX_SHARED (runtime.cuh).

using std::max;
using std::min;

struct float3 {
  float x, y, z;
};
inline float3 make_float3(float x, float y, float z) { return {x, y, z}; }
struct __attribute__((may_alias, aligned(16))) uint4 {  // kernels move values of any type by it
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

// Arithmetic with its rounding spelled out, bits, warps, atomics.
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline void __syncthreads() { emulation::machine().block_barrier(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emulation::machine().vote(mask, false); }
template <class V>
V __shfl_xor_sync(unsigned mask, V v, int with) {
  return emulation::machine().exchange(mask, v, [&](unsigned lane) { return lane ^ static_cast<unsigned>(with); });
}
template <class V>
V __shfl_sync(unsigned mask, V v, int from) {
  return emulation::machine().exchange(mask, v, [&](unsigned) { return static_cast<unsigned>(from) % 32; });
}
template <class V>
V __shfl_down_sync(unsigned mask, V v, unsigned by) {
  return emulation::machine().exchange(mask, v, [&](unsigned lane) { return lane + by < 32 ? lane + by : lane; });
}
inline unsigned __ballot_sync(unsigned mask, bool v) { return emulation::machine().vote(mask, v); }
inline bool __any_sync(unsigned mask, bool v) { return emulation::machine().vote(mask, v) != 0; }
inline bool __all_sync(unsigned mask, bool v) { return emulation::machine().vote(mask, v) == mask; }
template <class V>
V atomicAdd(V* to, std::type_identity_t<V> v) {
  return std::exchange(*to, *to + v);
}

/// What is called between the start and the end of a capture, to be done when the graph is launched.
struct emulated_graph {
  std::vector<std::function<bool()>> calls;  // false: failed
};
namespace emulation {
inline thread_local std::unique_ptr<emulated_graph> capturing;
inline std::recursive_mutex device;  // does one call after another, whichever stream it is from
/// Does now, or when the graph that is being captured is launched, what a device would do in stream order.
template <class F>
bool submit(F call) {
  if (!capturing) {
    const std::lock_guard lock(device);
    return call();
  }
  capturing->calls.emplace_back(std::move(call));
  return true;
}
}  // namespace emulation

// The runtime's calls.
enum cudaError_t {
  cudaSuccess,
  cudaErrorInvalidValue,
  cudaErrorMemoryAllocation,
  cudaErrorInvalidConfiguration,
  cudaErrorLaunchFailure,
  cudaErrorInsufficientDriver,
  cudaErrorStreamCaptureUnsupported
};
inline const char* cudaGetErrorString(cudaError_t e) {
  switch (e) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorLaunchFailure:
      return emulation::machine().failure();
    default:
      return "invalid argument";
  }
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }

using cudaStream_t = struct emulated_stream*;
using cudaEvent_t = struct emulated_event*;
using cudaMemPool_t = struct emulated_pool*;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaDeviceProp {
  char name[256];
  int major, minor, multiProcessorCount;
  std::size_t totalGlobalMem;
};

enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount, cudaDevAttrMaxSharedMemoryPerMultiprocessor };
namespace emulation {
inline int shared_bytes = 228 * 1024;  // of a multiprocessor, as devices made from now on have it
}
inline cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr what, int) {
  *v = what == cudaDevAttrMultiProcessorCount ? 4 : emulation::shared_bytes;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceCount(int* n) {
  *n = 1;
  return cudaSuccess;
}
inline cudaError_t cudaSetDevice(int d) { return d == 0 ? cudaSuccess : cudaErrorInvalidValue; }
inline cudaError_t cudaDriverGetVersion(int* v) {
  *v = 0;
  return cudaSuccess;
}
inline cudaError_t cudaRuntimeGetVersion(int* v) {
  *v = 0;
  return cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  *p = {"emulated by fibers", 0, 0, 1, 0};
  return cudaSuccess;
}
// Handles are never looked into: any address that is not null.
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  *s = reinterpret_cast<cudaStream_t>(&emulation::machine());
  return cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return emulation::capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = reinterpret_cast<cudaEvent_t>(&emulation::machine());
  return cudaSuccess;
}
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* p, int) {
  *p = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }
inline cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  *free = *total = 0;
  return cudaSuccess;
}

/// New memory holds NaN, as a device's may.
inline cudaError_t cudaMallocAsync(void** p, std::size_t bytes, cudaStream_t) {
  if (posix_memalign(p, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*p, 0xff, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFree(void* p) {
  std::free(p);
  return cudaSuccess;
}
inline cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) { return cudaMallocAsync(p, bytes, nullptr); }
inline cudaError_t cudaFreeHost(void* p) { return cudaFree(p); }
inline cudaError_t cudaMemsetAsync(void* p, int byte, std::size_t bytes, cudaStream_t) {
  emulation::submit([=] {
    std::memset(p, byte, bytes);
    return true;
  });
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_step, const void* from, std::size_t from_step, std::size_t bytes,
                                     std::size_t rows, cudaMemcpyKind, cudaStream_t) {
  if (to_step < bytes || from_step < bytes) return cudaErrorInvalidValue;
  emulation::submit([=] {
    for (std::size_t r = 0; r < rows; ++r)
      std::memcpy(static_cast<char*>(to) + r * to_step, static_cast<const char*>(from) + r * from_step, bytes);
    return true;
  });
  return cudaSuccess;
}
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  std::size_t dynamicSmemBytes = 0;
  cudaStream_t stream = nullptr;
};
inline cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute, int bytes) {
  if (bytes > 227 * 1024) return cudaErrorInvalidValue;
  const std::lock_guard lock(emulation::device);
  emulation::machine().more_shared[kernel] = static_cast<std::size_t>(bytes);
  return cudaSuccess;
}
template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* c, void (*kernel)(P...), A&&... arguments) {
  const std::lock_guard lock(emulation::device);
  auto& m = emulation::machine();
  const auto limit = m.more_shared.find(reinterpret_cast<const void*>(kernel));
  const std::size_t most = limit == m.more_shared.end() ? 48 * 1024 : limit->second;
  const auto& g = c->gridDim;
  const auto& b = c->blockDim;
  const unsigned threads = b.x * b.y * b.z;
  if (g.x == 0 || g.y == 0 || g.z == 0 || g.x > 0x7fffffffu || g.y > 65535 || g.z > 65535 || threads == 0 || threads > 1024 ||
      c->dynamicSmemBytes > most)
    return cudaErrorInvalidConfiguration;
  const bool done = emulation::submit([&m, kernel, config = *c, values = std::tuple<P...>(std::forward<A>(arguments)...)] {
    auto call = [&] { std::apply(kernel, values); };
    return m.run(config.gridDim, config.blockDim, config.dynamicSmemBytes, call);
  });
  return done ? cudaSuccess : cudaErrorLaunchFailure;
}

using cudaGraph_t = emulated_graph*;
using cudaGraphExec_t = emulated_graph*;
enum cudaStreamCaptureMode { cudaStreamCaptureModeRelaxed };
inline cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  emulation::capturing = std::make_unique<emulated_graph>();
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* g) {
  *g = emulation::capturing.release();
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* e, cudaGraph_t g, unsigned long long) {
  *e = new emulated_graph(*g);
  return cudaSuccess;
}
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t) {
  const std::lock_guard lock(emulation::device);
  for (auto& call : e->calls)
    if (!call()) return cudaErrorLaunchFailure;
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t g) {
  delete g;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) {
  delete e;
  return cudaSuccess;
}
