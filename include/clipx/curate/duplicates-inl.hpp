// Definitions of duplicates.hpp.
#pragma once
#include <bit>
#include <unordered_map>
#include <vector>

#include "../core/error.hpp"
#include "../image/decode.hpp"
#include "duplicates.hpp"
#include "hashes-inl.hpp"

namespace clipx {
namespace detail {

struct hash_of_hash {
  std::size_t operator()(const hash128& h) const { return static_cast<std::size_t>(h.low); }
};
/// The index of the first image with each hash.
using first_numbers = std::unordered_map<hash128, std::uint32_t, hash_of_hash>;

}  // namespace detail

struct duplicate_finder::state {
  duplicate_rules rules;
  std::uint32_t size = 0;
  detail::first_numbers bytes, pixels;
  std::optional<hamming_index> similar;
  std::vector<std::uint64_t> perceptual;
};

CLIPX_INLINE image_hashes hash_image(const duplicate_rules& rules, std::span<const std::byte> file, const std::string& name) {
  image_hashes out;
  if (rules.bytes) out.bytes = hash_bytes(file);
  if (!rules.decodes()) return out;
  const image decoded = decode_image(file, name);
  if (rules.pixels) out.pixels = hash_pixels(decoded);
  if (rules.distance >= 0) out.perceptual = perceptual_hash(decoded);
  return out;
}

CLIPX_INLINE duplicate_finder::duplicate_finder(const duplicate_rules& rules, std::size_t expected)
    : state_(std::make_unique<state>()) {
  expect(rules.bytes || rules.decodes(), "duplicates: expected a rule (bytes, pixels or a distance), got none");
  state_->rules = rules;
  if (rules.distance >= 0) state_->similar.emplace(rules.distance, expected);
}
CLIPX_INLINE duplicate_finder::~duplicate_finder() = default;
CLIPX_INLINE duplicate_finder::duplicate_finder(duplicate_finder&&) noexcept = default;
CLIPX_INLINE duplicate_finder& duplicate_finder::operator=(duplicate_finder&&) noexcept = default;

CLIPX_INLINE std::optional<duplicate> duplicate_finder::find(const image_hashes& hashes) const {
  const auto& s = *state_;
  if (const auto at = s.bytes.find(hashes.bytes); s.rules.bytes && at != s.bytes.end()) return duplicate{at->second, "bytes", 0};
  if (const auto at = s.pixels.find(hashes.pixels); s.rules.pixels && at != s.pixels.end())
    return duplicate{at->second, "pixels", 0};
  if (!s.similar) return {};
  const auto number = s.similar->find(hashes.perceptual);
  if (!number) return {};
  return duplicate{*number, "similar", std::popcount(s.perceptual[*number] ^ hashes.perceptual)};
}

CLIPX_INLINE void duplicate_finder::add(const image_hashes& hashes) {
  auto& s = *state_;
  expect(s.size + 1 != 0, "duplicates: expected fewer than 2^32 - 1 images");
  if (s.rules.bytes) s.bytes.try_emplace(hashes.bytes, s.size);
  if (s.rules.pixels) s.pixels.try_emplace(hashes.pixels, s.size);
  if (s.similar) {
    s.similar->add(hashes.perceptual);
    s.perceptual.push_back(hashes.perceptual);
  }
  ++s.size;
}

}  // namespace clipx
