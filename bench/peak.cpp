#include "peak.hpp"

#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <clipx/core/error.hpp>
#include <cstdint>
#include <fstream>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
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
#endif

/// The best of several short runs on all threads, GF/s.
template <class Kernel>
double rate(int threads, Kernel kernel) {
  double best = 0;
  for (int run = 0; run < 8; ++run) {
    double flops = 0;
    const auto start = clock::now();
#pragma omp parallel num_threads(threads) reduction(+ : flops)
    flops += kernel(2'000'000);
    best = std::max(best, flops / since(start) * 1e-9);
  }
  return best;
}
}  // namespace

ceilings measure_ceilings(int threads) {
  ceilings c;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) c.f32_gflops = rate(threads, fma_512);
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) c.f32_gflops = rate(threads, fma_256);
  if (cpu_flags().find("avx512_bf16") != std::string::npos) c.bf16_gflops = rate(threads, dot_bf16);
#endif
  const std::vector<std::uint64_t> memory(std::size_t{512} << 17, 1);
  for (int run = 0; run < 4; ++run) {
    std::uint64_t sum = 0;
    const auto start = clock::now();
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
    for (std::size_t i = 0; i < memory.size(); ++i) sum += memory[i];
    c.read_gbs = std::max(c.read_gbs, static_cast<double>(memory.size() * 8) / since(start) * 1e-9);
    sink = static_cast<float>(sum);
  }
  return c;
}

namespace {
std::string cpu_line(const std::string& key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) return line.substr(std::min(line.find(':') + 2, line.size()));
  return {};
}
}  // namespace

std::string cpu_name() { return cpu_line("model name"); }

std::string cpu_flags() {
  const auto all = clipx::cat(" ", cpu_line("flags"), " ");
  std::string out;
  for (const char* flag : {"avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16"})
    if (all.find(clipx::cat(" ", flag, " ")) != std::string::npos) out += clipx::cat(out.empty() ? "" : " ", flag);
  return out;
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace bench
