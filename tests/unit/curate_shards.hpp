// Shards of made images for the tests of curation.
#pragma once
#include <clipx/core/random.hpp>
#include <clipx/data/shard_writer.hpp>
#include <map>
#include <vector>

#include "temporary.hpp"

namespace pool {

/// A PPM of waves that a seed draws: images of two seeds differ in many bits of their perceptual hashes.
inline std::string ppm(std::uint64_t seed, int width = 40, int height = 32) {
  std::string out = "P6 " + std::to_string(width) + " " + std::to_string(height) + " 255\n";
  const clipx::draws draw(seed, 77);
  std::vector<int> levels;  // of 8 x 8 tiles
  for (std::uint64_t i = 0; i < 64; ++i) levels.push_back(static_cast<int>(draw.below(i, 256)));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const int level = levels[static_cast<std::size_t>(y * 8 / height * 8 + x * 8 / width)];
      for (int band = 0; band < 3; ++band) out += static_cast<char>((level + band * 20 + (x + y) % 3) & 255);
    }
  return out;
}

struct pair {
  std::string key;
  std::map<std::string, std::string> members;
};

/// A sample with an image, a caption and a JSON of its own.
inline pair made(const std::string& key, const std::string& image, const std::string& caption) {
  return {key, {{"jpg", image}, {"json", "{\"url\":\"http://x/" + key + "\",\"width\":40}"}, {"txt", caption}}};
}

inline void write(const std::string& path, const std::vector<pair>& all) {
  clipx::tar_writer out(path);
  for (const auto& p : all) {
    clipx::sample s{p.key, {}};
    for (const auto& [suffix, data] : p.members) s.members.emplace_back(suffix, std::as_bytes(std::span(data)));
    out.add(s);
  }
  out.commit();
}

inline std::vector<pair> read(const std::string& path) {
  std::vector<pair> out;
  clipx::for_each_sample(path, [&](const clipx::sample& s) {
    out.push_back({s.key, {}});
    for (const auto& [suffix, b] : s.members)
      out.back().members[suffix] = std::string(reinterpret_cast<const char*>(b.data()), b.size());
  });
  return out;
}

/// Every file below a folder but for those of the state, with its bytes.
inline std::map<std::string, std::string> files(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (const auto& one : std::filesystem::directory_iterator(folder))
    if (one.is_regular_file()) out[one.path().filename().string()] = contents(one.path().string());
  return out;
}

}  // namespace pool
