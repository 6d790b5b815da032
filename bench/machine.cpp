#include "machine.hpp"

#include <sys/resource.h>

#include <array>
#include <fstream>
#include <sstream>

namespace bench {
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
  constexpr std::array wanted{"avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16"};
  std::istringstream all(cpu_line("flags"));
  std::string out;
  for (std::string flag; all >> flag;)
    if (std::find(wanted.begin(), wanted.end(), flag) != wanted.end()) out.append(out.empty() ? "" : " ").append(flag);
  return out;
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

}  // namespace bench
