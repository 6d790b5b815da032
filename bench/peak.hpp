// The machine's ceilings, measured in the same run as everything that is divided by them.
#pragma once
#include <string>

namespace bench {

struct ceilings {
  double f32_gflops = 0;   // fused multiply-adds in registers, all threads
  double bf16_gflops = 0;  // vdpbf16ps; 0 where the CPU has none
  double read_gbs = 0;     // reading 512 MiB
};
ceilings measure_ceilings(int threads);

/// CPU model and the instruction sets that matter here.
std::string cpu_name();
std::string cpu_flags();

/// Largest resident memory of this process, MiB.
double peak_mib();

}  // namespace bench
