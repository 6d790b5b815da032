// Definitions of hashes.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>

#include "../core/error.hpp"
#include "../core/random.hpp"
#include "../image/image.hpp"
#include "../image/resize.hpp"
#include "hashes.hpp"
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace clipx {
namespace detail {

inline hash128 of_xxh(XXH128_hash_t h) { return {h.high64, h.low64}; }

inline constexpr dim dct_side = 32, dct_kept = 8;

/// cos(pi (2 x + 1) k / 64) in steps of 2^-20, (k, x).
inline const std::array<std::array<std::int64_t, dct_side>, dct_kept>& dct_cosines() {
  static const auto table = [] {
    std::array<std::array<std::int64_t, dct_side>, dct_kept> t{};
    for (std::size_t k = 0; k < t.size(); ++k)
      for (std::size_t x = 0; x < t[k].size(); ++x)
        t[k][x] = std::llround(std::cos(std::numbers::pi * static_cast<double>((2 * x + 1) * k) / 64) * (1 << 20));
    return t;
  }();
  return table;
}

/// Converts to gray as Pillow's "L".
inline image to_gray(const image& decoded) {
  const image rgb = to_rgb(decoded);
  image out = make_image(pixel_mode::gray, rgb.width, rgb.height);
  for (std::size_t i = 0; i < out.data.size(); ++i) {
    const auto* p = rgb.data.data() + 3 * i;
    out.data[i] = static_cast<std::uint8_t>((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
  }
  return out;
}

/// The lowest frequencies, row by row, of 32 x 32 gray values; at most 2^58.
inline std::array<std::int64_t, dct_kept * dct_kept> lowest_frequencies(const std::uint8_t* gray) {
  const auto& cosines = dct_cosines();
  std::array<std::array<std::int64_t, dct_kept>, dct_side> rows{};  // (y, frequency of x)
  for (std::size_t y = 0; y < rows.size(); ++y)
    for (std::size_t k = 0; k < rows[y].size(); ++k)
      for (std::size_t x = 0; x < dct_side; ++x) rows[y][k] += gray[y * dct_side + x] * cosines[k][x];
  std::array<std::int64_t, dct_kept * dct_kept> out{};
  for (std::size_t j = 0; j < dct_kept; ++j)
    for (std::size_t k = 0; k < dct_kept; ++k)
      for (std::size_t y = 0; y < rows.size(); ++y) out[j * dct_kept + k] += rows[y][k] * cosines[j][y];
  return out;
}

/// Calls f with every choice of `chosen` of n segments, as a set of bits.
template <class F>
void for_each_choice(int n, int chosen, F&& f) {
  for (std::uint32_t set = 0; set < std::uint32_t{1} << n; ++set)
    if (std::popcount(set) == chosen) f(set);
}

}  // namespace detail

CLIPX_INLINE std::string hash128::hex() const {
  std::string out;
  for (const auto half : {high, low})
    for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[half >> shift & 15];
  return out;
}

CLIPX_INLINE hash128 hash_bytes(std::span<const std::byte> bytes) {
  return detail::of_xxh(XXH3_128bits(bytes.data(), bytes.size()));
}

CLIPX_INLINE hash128 hash_pixels(const image& decoded) {
  const image rgb = to_rgb(decoded);
  std::array<std::uint8_t, 16> sides{};
  for (std::size_t i = 0; i < 8; ++i) {
    sides[i] = static_cast<std::uint8_t>(rgb.width >> 8 * i);
    sides[8 + i] = static_cast<std::uint8_t>(rgb.height >> 8 * i);
  }
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, sides.data(), sides.size());
  XXH3_128bits_update(&state, rgb.data.data(), rgb.data.size());
  return detail::of_xxh(XXH3_128bits_digest(&state));
}

CLIPX_INLINE std::uint64_t perceptual_hash(const image& decoded) {
  constexpr dim n = detail::dct_side;
  const image small = resize(detail::to_gray(decoded), n, n, filter::bicubic, {0, 0, n, n});
  const auto frequencies = detail::lowest_frequencies(small.data.data());
  auto sorted = frequencies;
  std::sort(sorted.begin(), sorted.end());
  const auto twice_the_median = sorted[31] + sorted[32];
  std::uint64_t out = 0;
  for (const auto f : frequencies) out = out << 1 | (2 * f > twice_the_median ? 1 : 0);
  return out;
}

CLIPX_INLINE hamming_index::hamming_index(int distance, std::size_t expected) : distance_(distance) {
  expect(distance >= 0 && distance <= most_distance,
         [&] { return cat("hamming_index: expected a distance of 0 to ", most_distance, ", got ", distance); });
  bits_ = std::clamp(static_cast<int>(std::bit_width(expected)), 8, 28);
  // Segments of 64 / s bits, of which 1 + more are equal: about log2 of the number of hashes in bits, with at most 200 tables.
  int more = 0;
  const auto bits = [&](int m) { return 64 * (1 + m) / (distance + 1 + m); };
  const auto tables = [&](int m) {
    double n = 1;
    for (int i = 1; i <= 1 + m; ++i) n = n * (distance + i) / i;
    return n;  // binomial coefficient of distance + 1 + m over 1 + m
  };
  while (distance > 0 && bits(more) < bits_ && tables(more + 1) <= 200) ++more;
  const int segments = distance + 1 + more;
  detail::for_each_choice(segments, 1 + more, [&](std::uint32_t set) {
    std::uint64_t mask = 0;
    for (int b = 0; b < 64; ++b)
      if (set >> (b * segments / 64) & 1) mask |= std::uint64_t{1} << b;
    tables_.push_back({mask, std::vector<std::uint32_t>(std::size_t{1} << bits_), {}});
  });
}

CLIPX_INLINE std::size_t hamming_index::entry(const table& t, std::uint64_t hash) const {
  return static_cast<std::size_t>(draws::mix((hash & t.mask) + 0x9e3779b97f4a7c15u) >> (64 - bits_));
}

CLIPX_INLINE std::optional<std::uint32_t> hamming_index::find(std::uint64_t hash) const {
  std::uint32_t first = std::numeric_limits<std::uint32_t>::max();
  for (const auto& t : tables_)
    for (auto n = t.first[entry(t, hash)]; n != 0; n = t.after[n - 1])
      if (n - 1 < first && std::popcount(hashes_[n - 1] ^ hash) <= distance_) first = n - 1;
  if (first == std::numeric_limits<std::uint32_t>::max()) return {};
  return first;
}

CLIPX_INLINE void hamming_index::add(std::uint64_t hash) {
  expect(hashes_.size() < std::numeric_limits<std::uint32_t>::max() - 1, "hamming_index: expected fewer than 2^32 - 1 hashes");
  hashes_.push_back(hash);
  for (auto& t : tables_) {
    auto& first = t.first[entry(t, hash)];
    t.after.push_back(first);
    first = static_cast<std::uint32_t>(hashes_.size());
  }
}

}  // namespace clipx
