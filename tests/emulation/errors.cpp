// What a GPU refuses or has no memory for has its kind of error.
#include <clipx/core/step.hpp>
#include <clipx/cuda/runtime.cuh>
#include <functional>

#include "../backends/emulated_cuda_bf16.hpp"
#include "catch.hpp"

namespace {
using clipx::dim;
using clipx::error_kind;
namespace gpu = clipx::gpu;

__global__ void half_a_barrier(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void nothing(float*) {}

struct failure {
  const char* what;
  std::function<void()> call;
};
void all_are(error_kind want, std::initializer_list<failure> failures) {
  for (auto& f : failures) {
    INFO(f.what);
    try {
      f.call();
      FAIL("no error");
    } catch (const clipx::error& e) {
      INFO(e.what());
      CHECK(static_cast<int>(e.kind()) == static_cast<int>(want));
    }
  }
}
}  // namespace

TEST_CASE("errors: devices") {
  float y[64];
  all_are(error_kind::device, {{"a GPU that is not there", [] { clipx::cuda<float>({.device = 7}); }},
                               {"a kernel that fails", [&] { gpu::launch(half_a_barrier, 1, 64, 0, nullptr, y); }},
                               {"a launch that no device takes", [&] { gpu::launch(nothing, 1, 1025, 0, nullptr, y); }}});
}

#ifndef CLIPX_TESTS_ASAN  // which ends the program where an allocation is that large
TEST_CASE("errors: the memory of devices") {
  backend_t d;
  all_are(error_kind::out_of_memory, {{"weights", [&] { d.alloc<float>(dim{1} << 56); }},
                                      {"an arena", [&] { clipx::step<backend_t>(d).make(dim{1} << 28, dim{1} << 28); }},
                                      {"pinned memory", [] {
                                         void* p = nullptr;
                                         gpu::check(cudaHostAlloc(&p, std::size_t{1} << 58, cudaHostAllocDefault),
                                                    "pinning memory");
                                       }}});
}
#endif
