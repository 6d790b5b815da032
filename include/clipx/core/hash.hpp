// One hash of bytes, the same on every machine, for decisions that depend on a name or a key.
#pragma once
#include <string_view>

#include "random.hpp"

namespace clipx::detail {

/// FNV-1a of the bytes, mixed: 64 bits.
constexpr std::uint64_t hash_of(std::string_view s) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (char c : s) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return draws::mix(h);
}

}  // namespace clipx::detail
