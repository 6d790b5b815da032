#pragma once
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../core/error.hpp"
#include "checksum.hpp"

namespace clipx {

struct checksum::state {
  XXH3_state_t parts;
};

CLIPX_INLINE checksum::checksum() : state_(std::make_unique<state>()) { XXH3_128bits_reset(&state_->parts); }
CLIPX_INLINE checksum::~checksum() = default;
CLIPX_INLINE void checksum::add(std::span<const std::byte> bytes) {
  XXH3_128bits_update(&state_->parts, bytes.data(), bytes.size());
}
CLIPX_INLINE std::string checksum::hex() const {
  XXH128_canonical_t bytes;
  XXH128_canonicalFromHash(&bytes, XXH3_128bits_digest(&state_->parts));
  std::string out;
  for (const unsigned char byte : bytes.digest) {
    out += "0123456789abcdef"[byte >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  return out;
}

}  // namespace clipx
