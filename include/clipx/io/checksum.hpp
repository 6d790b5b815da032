// A checksum of what a file holds.
#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace clipx {

/// 128-bit XXH3 (xxHash 0.8) of bytes that come in parts: it finds damage, and proves nothing against whoever forges a file.
class checksum {
 public:
  static constexpr std::size_t hex_digits = 32;  // of hex()

  checksum();
  ~checksum();
  checksum(const checksum&) = delete;
  void add(std::span<const std::byte> bytes);  // the next part
  std::string hex() const;                     // of the parts so far, in lower case

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "checksum-inl.hpp"
#endif
