// Hashes against xxhash, Pillow and scipy (tests/golden/curate_images.py), and the index against comparing all with all.
#include <bit>
#include <clipx/core/random.hpp>
#include <clipx/curate/hashes.hpp>
#include <clipx/image/decode.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_curate_hashes {

using namespace clipx;

namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> out;
  for (std::size_t i = 0; i < hex.size(); i += 2) out.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}
std::string bits(std::uint64_t h) {
  std::string out;
  for (int i = 63; i >= 0; --i) out += h >> i & 1 ? '1' : '0';
  return out;
}

/// Clusters of hashes a few bits apart, and loners, drawn by `draw`.
std::vector<std::uint64_t> hashes(std::size_t n, const draws& draw) {
  std::vector<std::uint64_t> out;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint64_t h = draw(4 * i);
    if (!out.empty() && draw.chance(4 * i + 1, 0.6)) {
      h = out[draw.below(4 * i + 2, out.size())];
      const draws flips(draw(4 * i + 3));
      for (std::uint64_t b = 0, count = flips.below(0, 9); b < count; ++b) h ^= std::uint64_t{1} << flips.below(1 + b, 64);
    }
    out.push_back(h);
  }
  return out;
}

}  // namespace

TEST_CASE("curate, hashes: as xxhash, Pillow and scipy compute them") {
  const auto golden = nlohmann::json::parse(contents(CLIPX_SOURCE_DIR "/tests/golden/curate_hashes.json"));
  for (const auto& [n, hex] : golden.at("bytes").get<std::vector<std::pair<std::size_t, std::string>>>()) {
    std::string data(n, '\0');
    for (std::size_t i = 0; i < n; ++i) data[i] = static_cast<char>(i * 7 + i / 256);
    CHECK(hash_bytes(std::as_bytes(std::span(data))).hex() == hex);
  }
  REQUIRE(golden.at("images").size() == 7);
  for (const auto& one : golden.at("images")) {
    const auto file = from_hex(one.at("png"));
    const image img = decode_image(file, one.at("mode"));
    CHECK(hash_bytes(file).hex() == one.at("bytes").get<std::string>());
    CHECK(hash_pixels(img).hex() == one.at("pixels").get<std::string>());
    CHECK(bits(perceptual_hash(img)) == one.at("phash").get<std::string>());
  }
}

TEST_CASE("curate, hashes: what a perceptual hash does not see") {
  image flat = make_image(pixel_mode::rgb, 40, 50);
  std::fill(flat.data.begin(), flat.data.end(), std::uint8_t{90});
  image other = make_image(pixel_mode::gray, 7, 9);
  std::fill(other.data.begin(), other.data.end(), std::uint8_t{200});
  CHECK(bits(perceptual_hash(flat)) == "1" + std::string(63, '0'));
  CHECK(perceptual_hash(flat) == perceptual_hash(other));
  CHECK(hash_pixels(flat) != hash_pixels(other));
  image wide = make_image(pixel_mode::gray, 9, 7);
  std::fill(wide.data.begin(), wide.data.end(), std::uint8_t{200});
  CHECK(hash_pixels(wide) != hash_pixels(other));
}

TEST_CASE("curate, hashes: the index finds what comparing all with all finds") {
  const std::size_t n = 3000;
  for (const int distance : {0, 1, 3, 4, 8, 16})
    for (const std::size_t expected : {std::size_t{100}, std::size_t{100'000}}) {  // few tables, and many
      const auto all = hashes(n, draws(distance, expected));
      hamming_index index(distance, expected);
      std::size_t found = 0, wrong = 0;
      for (std::uint32_t i = 0; i < n; ++i) {
        std::optional<std::uint32_t> first;
        for (std::uint32_t j = 0; j < i && !first; ++j)
          if (std::popcount(all[i] ^ all[j]) <= distance) first = j;
        wrong += index.find(all[i]) != first;
        found += first.has_value();
        index.add(all[i]);
      }
      INFO("distance " << distance << ", expected " << expected);
      CHECK(wrong == 0);
      CHECK(found > n / 20);
      CHECK(found < n);
    }
  CHECK_THAT(message([] { hamming_index(17, 10); }), Contains("0 to 16, got 17"));
  CHECK_THAT(message([] { hamming_index(-1, 10); }), Contains("got -1"));
}

}  // namespace test_curate_hashes
