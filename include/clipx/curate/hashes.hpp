// Hashes by which duplicates are found: of bytes, of decoded pixels, and one that similar images share but for a few bits.
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

/// 128 bits of XXH3 (xxHash 0.8), equal on every machine.
struct hash128 {
  std::uint64_t high = 0, low = 0;  // the two halves
  auto operator<=>(const hash128&) const = default;
  /// 32 hexadecimal digits, as xxhsum prints them.
  std::string hex() const;
};

/// Of bytes in memory.
hash128 hash_bytes(std::span<const std::byte> bytes);
/// Of the image as 8-bit RGB (to_rgb), its width and height: 8 bytes each, low one first, then the pixels.
hash128 hash_pixels(const image& decoded);

/// The 64-bit perceptual hash of J. Buchner's imagehash.phash, with a bicubic resize: 8-bit gray (ITU-R 601, as Pillow's "L") at 32
/// x 32, the 8 x 8 lowest frequencies of its DCT-II, row by row; a bit, from the highest on, says whether one is above the median
/// of them all. The transform is one of integers (cosines in steps of 2^-20), so that compilers and processors cannot change a bit.
/// All images of one color have one hash.
std::uint64_t perceptual_hash(const image& decoded);

/// Finds 64-bit hashes at most `distance` bits apart, without comparing all with all. The bits are cut into distance + 1 + more
/// segments, of which 1 + more must then be equal: there is a table for each choice of them, and only what shares a table's entry
/// is compared. `more` grows with the number of hashes, so that few do by chance, up to 200 tables. Among a million hashes, on a
/// shared core of an EPYC: 2 us each at distance 4, 20 us at 6, and above 8 little is gained over comparing all with all. 4 bytes a
/// hash and table. For one thread.
class hamming_index {
 public:
  static constexpr int most_distance = 16;  // in bits
  /// `expected`: about how many hashes there will be. Errors: a distance that is not from 0 to most_distance.
  hamming_index(int distance, std::size_t expected);
  /// Of the hashes that were added, the first within the distance, by its number from 0; nothing where none is.
  std::optional<std::uint32_t> find(std::uint64_t hash) const;
  /// Its number is how many were added before. Error: 2^32 - 1 of them.
  void add(std::uint64_t hash);
  std::size_t size() const { return hashes_.size(); }  // number of hashes
  int distance() const { return distance_; }           // in bits

 private:
  struct table {
    std::uint64_t mask;                       // of the bits that must be equal
    std::vector<std::uint32_t> first, after;  // chains by entry: number + 1, 0 at the end
  };
  std::size_t entry(const table& t, std::uint64_t hash) const;

  int distance_;
  int bits_;  // of a table's entry
  std::vector<std::uint64_t> hashes_;
  std::vector<table> tables_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "hashes-inl.hpp"
#endif
