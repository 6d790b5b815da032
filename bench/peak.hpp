// The machine's ceilings, measured in the same run as everything that is divided by them.
#pragma once
#include <string>

namespace bench {

struct ceilings {
  double f32_gflops = 0;   // fused multiply-adds in registers, all threads
  double bf16_gflops = 0;  // products of bf16 summed in float by bf16_unit, all threads; 0 where the CPU has none
  std::string bf16_unit = "none";
};
ceilings measure_ceilings(int threads);

/// Reading 512 MiB (which count in peak_mib() from then on), GB/s.
double measure_reading(int threads);

/// "amx" where the processor has tiles and the system grants them to this process, else "avx512_bf16" (vdpbf16ps) or "none".
std::string bf16_unit();

}  // namespace bench
