// Tar shards. The first byte: 0 the file as it is, 1 with its checksums put right, else a pattern of paths.
#include <algorithm>
#include <clipx/core/error.hpp>
#include <clipx/data/shards.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t mode = *data++;
  std::string bytes(reinterpret_cast<const char*>(data), --size);
  try {
    if (mode > 1) {
      // few digits, or a short pattern is a million paths
      if (size <= 40 && std::count_if(bytes.begin(), bytes.end(), [](char c) { return c >= '0' && c <= '9'; }) <= 5)
        clipx::expand_braces(bytes);
      return 0;
    }
    for (std::size_t at = 0; mode == 1 && at + 512 <= size; at += 512) {
      char* block = bytes.data() + at;
      std::memset(block + 148, ' ', 8);
      unsigned sum = 0;
      for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
      if (sum == 8 * ' ') std::memset(block + 148, 0, 8);
      else std::snprintf(block + 148, 8, "%06o", sum);
    }
    std::size_t total = 0;
    clipx::for_each_sample(std::as_bytes(std::span(bytes)), "fuzz", [&](const clipx::sample& s) {
      if (s.key.empty() || s.members.empty()) std::abort();
      for (auto& [suffix, member] : s.members) {
        for (std::byte b : member) total += static_cast<std::size_t>(b);
        if (!s.find(suffix)) std::abort();
      }
      s.image();
    });
    if (total > 255 * size) std::abort();
  } catch (const clipx::error&) {}
  return 0;
}
