// Finds repeated images: the same bytes, the same pixels, or nearly the same according to a perceptual hash.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "hashes.hpp"

namespace clipx {

/// What makes an image a duplicate of another.
struct duplicate_rules {
  bool bytes = true, pixels = true;  // whether equal bytes of the file, and equal pixels, make a duplicate
  int distance = 4;                  // bits of the perceptual hash; negative: not used
  /// Whether images have to be decoded.
  bool decodes() const { return pixels || distance >= 0; }
};

/// The hashes that the rules need; the others are 0.
struct image_hashes {
  hash128 bytes, pixels;         // hash_bytes() of the file and hash_pixels() of the image
  std::uint64_t perceptual = 0;  // perceptual_hash()
};

/// For an encoded image. Errors, with `name`: those of decode_image, if the rules need pixels.
image_hashes hash_image(const duplicate_rules& rules, std::span<const std::byte> file, const std::string& name);

/// The image that another is a duplicate of.
struct duplicate {
  std::uint32_t number = 0;  // index in the order of add()
  const char* how = "";      // "bytes", "pixels" or "similar"
  int distance = 0;          // for "similar", in bits
};

/// Images by their hashes. Takes about 70 bytes per image and exact rule, and 4 bytes per image and table of the index for similar
/// ones. find() may be called by several threads at once, add() may not.
class duplicate_finder {
 public:
  /// `expected`: approximate number of images that will be added. Errors: a distance above hamming_index::most_distance.
  duplicate_finder(const duplicate_rules& rules, std::size_t expected);
  ~duplicate_finder();
  duplicate_finder(duplicate_finder&&) noexcept;
  duplicate_finder& operator=(duplicate_finder&&) noexcept;
  /// The first added image that this one is a duplicate of, by the first rule that finds one: bytes, pixels, similar.
  std::optional<duplicate> find(const image_hashes& hashes) const;
  /// The image's number is the count of those added before. Errors: 2^32 - 1 images.
  void add(const image_hashes& hashes);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "duplicates-inl.hpp"
#endif
