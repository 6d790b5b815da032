// That the emulation sees what it is there to see: a kernel with a race, one that reads what nobody wrote, barriers not all reach.
#include <clipx/cuda/runtime.cuh>
#include <cmath>
#include <set>
#include <vector>

#include "catch.hpp"

namespace {
using clipx::dim;
namespace gpu = clipx::gpu;

/// Each thread adds its neighbor's value to its own; `barrier` false: the planted race.
__global__ void neighbors(const float* x, bool barrier, float* y) {
  CLIPX_SHARED(float[64], held);
  const unsigned t = threadIdx.x;
  held[t] = x[t];
  if (barrier) __syncthreads();
  y[t] = held[t] + held[(t + 1) % 64];
}
/// As a reduction that forgets the second barrier: the next round's values overwrite what is still read.
__global__ void rounds(const float* x, bool barrier, float* y) {
  CLIPX_SHARED(float[64], held);
  const unsigned t = threadIdx.x;
  float total = 0;
  for (int round = 0; round < 3; ++round) {
    if (barrier) __syncthreads();
    held[t] = x[t] * static_cast<float>(round + 1);
    __syncthreads();
    total += held[63 - t];
  }
  y[t] = total;
}
__global__ void unwritten(float* y) {
  CLIPX_SHARED(float[3], held);
  float* dynamic = gpu::shared_memory<float>();
  if (threadIdx.x == 0) {
    y[0] = held[1];
    y[1] = dynamic[2];
    held[1] = dynamic[2] = 5;  // the next block must not see the 5
  }
  if (threadIdx.x == 0) y[2 + blockIdx.x] = held[0];
}
__global__ void half_reach(float* y) {
  if (threadIdx.x < 32) __syncthreads();
  y[threadIdx.x] = 1;
}
__global__ void some_lanes(float* y) {
  if (threadIdx.x < 16) y[0] = __shfl_xor_sync(gpu::all_lanes, 1.0f, 1);
}
__global__ void warp_words(float* sums, unsigned* words) {
  const unsigned t = threadIdx.x;
  sums[t] = gpu::warp_sum(static_cast<float>(t));
  if (const unsigned v = __ballot_sync(gpu::all_lanes, t % 3 == 0); t % 32 == 0) words[t / 32] = v;
  if (const float first = __shfl_sync(gpu::all_lanes, static_cast<float>(t), 5); t % 32 == 31) sums[t] += first;
  if (const unsigned next = __shfl_down_sync(gpu::all_lanes, t, 1); t == 0) words[2] = next;
}
__global__ void whole_block(const float* x, float* sums) {
  CLIPX_SHARED(float[33], partial);
  const float a = gpu::block_sum(x[threadIdx.x], partial), b = gpu::block_max(x[threadIdx.x], partial);
  sums[threadIdx.x] = a + b;
}

template <class F>
std::set<std::vector<float>> in_each_order(F&& run) {
  std::set<std::vector<float>> different;
  for (auto o : {emulation::order::forward, emulation::order::backward, emulation::order::shuffled}) {
    emulation::threads = o;
    different.insert(run());
  }
  emulation::threads = emulation::order::forward;
  return different;
}
std::vector<float> counting(std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i);
  return x;
}
}  // namespace

TEST_CASE("emulation: a missing barrier shows as a difference between orders") {
  const auto x = counting(64);
  const auto results = [&](auto kernel, bool barrier) {
    return in_each_order([&] {
      std::vector<float> y(64);
      gpu::launch(kernel, 1, 64, 0, nullptr, x.data(), barrier, y.data());
      for (auto& v : y) v = std::isnan(v) ? -1 : v;  // NaN is what was not there yet; a set cannot order it
      return y;
    });
  };
  CHECK(results(neighbors, true).size() == 1);
  CHECK(results(neighbors, false).size() > 1);
  CHECK(results(rounds, true).size() == 1);
  CHECK(results(rounds, false).size() > 1);
  CHECK((*results(neighbors, true).begin())[63] == 63);
  CHECK((*results(rounds, true).begin())[0] == 6 * 63);
}

TEST_CASE("emulation: shared memory that nobody wrote is NaN, in every block") {
  std::vector<float> y(5);
  gpu::launch(unwritten, 3, 64, 3 * sizeof(float), nullptr, y.data());
  for (float v : y) CHECK(std::isnan(v));
}

TEST_CASE("emulation: a barrier that some threads do not reach is an error") {
  std::vector<float> y(64);
  CHECK_THROWS_WITH(gpu::launch(half_reach, 1, 64, 0, nullptr, y.data()),
                    Contains("wait at a barrier that the others do not reach"));
  CHECK_THROWS_WITH(gpu::launch(some_lanes, 1, 64, 0, nullptr, y.data()),
                    Contains("wait at a barrier that the others do not reach"));
  gpu::launch(neighbors, 1, 64, 0, nullptr, counting(64).data(), true, y.data());  // the next launch is a new one
  CHECK(y[5] == 11);
}

TEST_CASE("emulation: a launch that a device would refuse") {
  std::vector<float> y(64);
  CHECK_THROWS_WITH(gpu::launch(half_reach, 1, 1025, 0, nullptr, y.data()), Contains("invalid configuration"));
  CHECK_THROWS_WITH(gpu::launch(half_reach, dim3(1, 65536), 64, 0, nullptr, y.data()), Contains("invalid configuration"));
  CHECK_THROWS_WITH(gpu::launch(unwritten, 1, 64, 228 * 1024, nullptr, y.data()), Contains("invalid argument"));
  gpu::launch(half_reach, 0, 64, 0, nullptr, y.data());  // nothing to do
}

TEST_CASE("emulation: warps and blocks, in every order") {
  std::vector<unsigned> words(3);
  const auto sums = in_each_order([&] {
    std::vector<float> y(64);
    gpu::launch(warp_words, 1, 64, 0, nullptr, y.data(), words.data());
    return y;
  });
  REQUIRE(sums.size() == 1);
  CHECK((*sums.begin())[7] == 31 * 16);
  CHECK((*sums.begin())[63] == 32 * 32 + 31 * 16 + 37);
  CHECK(words == std::vector<unsigned>{0x49249249u, 0x92492492u, 1u});
  const auto x = counting(256);
  const auto blocks = in_each_order([&] {
    std::vector<float> y(256);
    gpu::launch(whole_block, 1, 256, 0, nullptr, x.data(), y.data());
    return y;
  });
  REQUIRE(blocks.size() == 1);
  for (float v : *blocks.begin()) CHECK(v == 255 * 128 + 255);
}
