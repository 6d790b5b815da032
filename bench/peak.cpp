#include "peak.hpp"

#include <algorithm>
#include <chrono>
#include <clipx/run/machine.hpp>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace bench {
namespace {
using clock = std::chrono::steady_clock;
double since(clock::time_point t) { return std::chrono::duration<double>(clock::now() - t).count(); }

volatile float sink;  // results go here, so that no loop is removed

#if defined(__x86_64__)
// 24 independent chains hide the latency of two pipes; each kernel returns its flops.
__attribute__((target("avx512f"))) double fma_512(long rounds) {
  __m512 acc[24];
  const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
  for (auto& v : acc) v = b;
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) acc[i] = _mm512_fmadd_ps(acc[i], a, b);
  __m512 sum = acc[0];
  for (int i = 1; i < 24; ++i) sum = _mm512_add_ps(sum, acc[i]);
  sink = _mm512_cvtss_f32(sum);
  return static_cast<double>(rounds) * 24 * 16 * 2;
}
__attribute__((target("avx2,fma"))) double fma_256(long rounds) {
  __m256 acc[12];
  const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
  for (auto& v : acc) v = b;
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) acc[i] = _mm256_fmadd_ps(acc[i], a, b);
  __m256 sum = acc[0];
  for (int i = 1; i < 12; ++i) sum = _mm256_add_ps(sum, acc[i]);
  sink = _mm256_cvtss_f32(sum);
  return static_cast<double>(rounds) * 12 * 8 * 2;
}
__attribute__((target("avx512f,avx512bf16"))) double dot_bf16(long rounds) {
  __m512 acc[24];
  const __m512bh a = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3f00)),
                 b = reinterpret_cast<__m512bh>(_mm512_set1_epi16(0x3a00));
  for (auto& v : acc) v = _mm512_setzero_ps();
  for (long r = 0; r < rounds; ++r)
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) acc[i] = _mm512_dpbf16_ps(acc[i], a, b);
  __m512 sum = acc[0];
  for (int i = 1; i < 24; ++i) sum = _mm512_add_ps(sum, acc[i]);
  sink = _mm512_cvtss_f32(sum);
  return static_cast<double>(rounds) * 24 * 32 * 2;
}
/// Six tiles of 16 x 16 sums, each += 16 x 32 times 32 x 16.
__attribute__((target("amx-tile,amx-bf16"))) double tiles_bf16(long rounds) {
  struct {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t bytes_a_row[16] = {};
    std::uint8_t rows[16] = {};
  } shape;
  for (int t = 0; t < 8; ++t) shape.bytes_a_row[t] = 64, shape.rows[t] = 16;
  alignas(64) std::uint16_t factors[16 * 32];
  for (auto& v : factors) v = 0x3c00;  // 1 / 128
  alignas(64) float sums[16 * 16];
  _tile_loadconfig(&shape);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_loadd(6, factors, 64);
  _tile_loadd(7, factors, 64);
  for (long r = 0; r < rounds; ++r) {
    _tile_dpbf16ps(0, 6, 7);
    _tile_dpbf16ps(1, 6, 7);
    _tile_dpbf16ps(2, 6, 7);
    _tile_dpbf16ps(3, 6, 7);
    _tile_dpbf16ps(4, 6, 7);
    _tile_dpbf16ps(5, 6, 7);
  }
  _tile_stored(0, sums, 64);
  _tile_release();
  sink = sums[0];
  return static_cast<double>(rounds) * 6 * 16 * 16 * 32 * 2;
}
/// Linux lends the tiles' state to a process that asks for it.
bool tiles_granted() {
#if defined(__linux__) && defined(SYS_arch_prctl)
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

/// The best of a third of a second of runs of a millisecond or two on all threads, GF/s: short ones fit between the work of others.
template <class Kernel>
double rate(int threads, Kernel kernel, long rounds) {
  double best = 0;
  for (const auto begin = clock::now(); since(begin) < 0.3;) {
    double flops = 0;
    const auto start = clock::now();
#pragma omp parallel num_threads(threads) reduction(+ : flops)
    flops += kernel(rounds);
    best = std::max(best, flops / since(start) * 1e-9);
  }
  return best;
}
}  // namespace

ceilings measure_ceilings(int threads) {
  ceilings c;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) c.f32_gflops = rate(threads, fma_512, 200'000);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) c.f32_gflops = rate(threads, fma_256, 400'000);
  c.bf16_unit = bf16_unit();
  if (c.bf16_unit == "amx") c.bf16_gflops = rate(threads, tiles_bf16, 15'000);
  else if (c.bf16_unit == "avx512_bf16") c.bf16_gflops = rate(threads, dot_bf16, 200'000);
#endif
  return c;
}

double measure_reading(int threads) {
  const std::vector<std::uint64_t> memory(std::size_t{512} << 17, 1);
  double best = 0;
  for (int run = 0; run < 4; ++run) {
    std::uint64_t sum = 0;
    const auto start = clock::now();
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (std::size_t i = 0; i < memory.size(); ++i) sum += memory[i];
    best = std::max(best, static_cast<double>(memory.size() * 8) / since(start) * 1e-9);
    sink = static_cast<float>(sum);
  }
  return best;
}

std::string bf16_unit() {
#if defined(__x86_64__)
  const auto flags = clipx::cpu_flags();
  if (flags.find("amx_tile") != std::string::npos && flags.find("amx_bf16") != std::string::npos && tiles_granted()) return "amx";
  if (flags.find("avx512_bf16") != std::string::npos) return "avx512_bf16";
#endif
  return "none";
}

}  // namespace bench
