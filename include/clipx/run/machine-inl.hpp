#pragma once
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <string_view>

#include "../core/error.hpp"
#include "machine.hpp"

namespace clipx {

namespace detail {
CLIPX_INLINE std::string cpu_line(const std::string& key) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key)) return line.substr(std::min(line.find(':') + 2, line.size()));
  return {};
}
}  // namespace detail

CLIPX_INLINE std::string cpu_name() { return detail::cpu_line("model name"); }

CLIPX_INLINE std::string cpu_flags() {
  constexpr std::array<std::string_view, 7> wanted{"avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16"};
  std::istringstream all(detail::cpu_line("flags"));
  std::string out;
  for (std::string flag; all >> flag;)
    if (std::find(wanted.begin(), wanted.end(), flag) != wanted.end()) out.append(out.empty() ? "" : " ").append(flag);
  return out;
}

CLIPX_INLINE dim peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<dim>(usage.ru_maxrss) * 1024;
}

}  // namespace clipx
