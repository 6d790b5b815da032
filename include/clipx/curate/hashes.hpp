// Hashes for finding duplicates: of bytes, of decoded pixels, and one that differs by few bits between similar images.
#pragma once
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../image/image.hpp"

namespace clipx {

/// 128-bit XXH3 (xxHash 0.8), the same on every machine.
struct hash128 {
  std::uint64_t high = 0, low = 0;  // the two halves
  auto operator<=>(const hash128&) const = default;
  /// 32 hexadecimal digits, as xxhsum prints them.
  std::string hex() const;
};

/// Of bytes in memory.
hash128 hash_bytes(std::span<const std::byte> bytes);
/// Of the image as 8-bit RGB (to_rgb): its width and height, 8 bytes each, little-endian, then the pixels.
hash128 hash_pixels(const image& decoded);

/// The 64-bit perceptual hash of J. Buchner's imagehash.phash, with a bicubic resize: 8-bit gray (ITU-R 601, as Pillow's "L") at 32
/// x 32, the 8 x 8 lowest frequencies of its DCT-II, row by row; each bit, from the highest on, tells whether a frequency is above
/// the median of all. The transform uses integers (cosines in steps of 2^-20), so compilers and processors cannot change a bit. All
/// images of a single color have the same hash.
std::uint64_t perceptual_hash(const image& decoded);

/// Finds 64-bit hashes at most `distance` bits apart without comparing all pairs. The bits are divided into distance + 1 + more
/// segments, of which 1 + more must be equal: there is one table for each choice of those, and only hashes that share a table's
/// entry are compared. `more` grows with the number of hashes, up to 200 tables, so that few share an entry by chance. With a
/// million hashes, on a shared core of an EPYC: 2 us per hash at distance 4, 20 us at 6; above 8 there is little gain over
/// comparing all pairs. 4 bytes per hash and table. Not thread-safe.
class hamming_index {
 public:
  static constexpr int most_distance = 16;  // in bits
  /// `expected`: approximate number of hashes. Errors: a distance outside 0 .. most_distance.
  hamming_index(int distance, std::size_t expected);
  /// The index of the first added hash within the distance; nothing if there is none.
  std::optional<std::uint32_t> find(std::uint64_t hash) const;
  /// The hash's index is the number of those added before. Errors: 2^32 - 1 hashes.
  void add(std::uint64_t hash);
  std::size_t size() const { return hashes_.size(); }  // number of hashes
  int distance() const { return distance_; }           // in bits

 private:
  struct table {
    std::uint64_t mask;                       // of the bits that must be equal
    std::vector<std::uint32_t> first, after;  // chains by entry: index + 1; 0 at the end
  };
  std::size_t entry(const table& t, std::uint64_t hash) const;

  int distance_;
  int bits_;  // of a table's index
  std::vector<std::uint64_t> hashes_;
  std::vector<table> tables_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "hashes-inl.hpp"
#endif
