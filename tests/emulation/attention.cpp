// Tensor-core attention: the twins of its primitives against plain loops, and heads that lie in shared memory in pieces.
#include "../cases/ops.hpp"  // before Catch: the case alone, without its tests
//
#include <clipx/cuda/mma.cuh>
#include <random>

#include "../backends/emulated_cuda_bf16.hpp"
#include "../cases/driver.hpp"

namespace {
using clipx::bf16;
namespace gpu = clipx::gpu;
constexpr int ld = 24;

/// c (16, 16) += a (16, 16) b: rows of `b` as they are, or as columns.
__global__ void product(const bf16* a, const bf16* b, bool transposed, float* c) {
  auto* sa = gpu::shared_memory<bf16>();
  auto* sb = sa + 16 * ld;
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  for (int i = lane; i < 16 * ld; i += 32) {
    sa[i] = a[i];
    sb[i] = b[i];
  }
  __syncthreads();
  unsigned left[4], right[2][2];
  gpu::load_a(left, sa, ld);
  if (transposed) gpu::load_b_transposed(right, sb, ld);
  else gpu::load_b(right, sb, ld);
  for (int n = 0; n < 2; ++n) {
    float sums[4];
    for (int i = 0; i < 4; ++i) sums[i] = c[(g + i / 2 * 8) * 16 + 8 * n + 2 * t + i % 2];
    gpu::mma(sums, left, right[n]);
    for (int i = 0; i < 4; ++i) c[(g + i / 2 * 8) * 16 + 8 * n + 2 * t + i % 2] = sums[i];
  }
}
}  // namespace

TEST_CASE("emulation: fragments and products mean what they say") {
  std::mt19937 bits(3);
  std::normal_distribution<float> normal;
  std::vector<bf16> a(16 * ld), b(16 * ld);
  for (auto* m : {&a, &b})
    for (auto& v : *m) v = bf16(normal(bits));
  for (bool transposed : {false, true}) {
    std::vector<float> c(256);
    for (auto& v : c) v = normal(bits);
    const auto before = c;
    gpu::launch(product, 1, 32, 2 * 16 * ld * sizeof(bf16), nullptr, a.data(), b.data(), transposed, c.data());
    for (std::size_t i = 0; i < 16; ++i)
      for (std::size_t j = 0; j < 16; ++j) {
        double want = static_cast<double>(before[i * 16 + j]), size = std::abs(want);
        for (std::size_t k = 0; k < 16; ++k) {
          const double term = static_cast<double>(static_cast<float>(a[i * ld + k])) *
                              static_cast<double>(static_cast<float>(transposed ? b[j * ld + k] : b[k * ld + j]));
          want += term;
          size += std::abs(term);
        }
        CHECK(std::abs(static_cast<double>(c[i * 16 + j]) - want) <= 16 * 0x1p-24 * size);
      }
  }
}

TEST_CASE("emulation: a head that does not fit into shared memory goes by in pieces") {
  emulation::shared_bytes = 48 * 1024;
  backend_t small;
  emulation::shared_bytes = 228 * 1024;
  for (bool causal : {false, true}) {
    cases::test(small, cases::attention_case{{100, 5}, 1, 64, causal});
    cases::test(small, cases::attention_case{{70, 33}, 1, 112, causal});
  }
}
