// What the tests of the loader share: samples that tell themselves apart, and all that a loader gives as lines.
#pragma once
#include <clipx/core/error.hpp>
#include <clipx/data/loader.hpp>
#include <set>

#include "catch.hpp"
#include "tar.hpp"
#include "temporary.hpp"

using namespace clipx;
using list = std::vector<std::string>;

/// A PPM image that its number tells from the others.
inline std::string ppm(int number, int w = 12, int h = 9) {
  std::string out = cat("P6 ", w, " ", h, " 255\n");
  for (int i = 0; i < w * h * 3; ++i) out += static_cast<char>(number * 31 + i * (1 + number % 5));
  return out;
}
inline std::string image_sample(const std::string& key, int number, const std::string& caption) {
  return member(key + ".jpg", ppm(number)) + member(key + ".txt", caption);
}

/// `count` samples in shards of `each`: keys 0000, 0001, ...
inline void write_shards(const temporary_folder& dir, int count, int each) {
  for (int first = 0, shard = 0; first < count; first += each, ++shard) {
    std::string tar;
    for (int i = first; i < std::min(count, first + each); ++i)
      tar += image_sample(octal(static_cast<std::uint64_t>(i), 4), i, cat("caption ", i));
    write_file(dir / cat("s-", shard, ".tar"), tar + end_of_tar);
  }
}

inline loader_config small(const list& data, dim batch = 4) {
  loader_config c;
  c.data = data;
  c.batch = batch;
  c.shuffle = 8;
  c.seed = 5;
  c.threads = 2;
  c.epochs = 1;
  c.preprocess.size = 6;
  return c;
}

/// All that a loader gives from where it stands to its end, a line for each batch; epochs end with "--".
struct stream {
  list lines, keys;
  std::vector<loader_position> next;
  std::string refused;
};
inline stream all_of(loader& l, std::size_t most_batches = 1000) {
  stream out;
  pair_batch b;
  try {
    for (std::uint64_t epoch = l.position().epoch; out.lines.size() < most_batches;) {
      if (!l.next(b)) {
        out.lines.push_back("--");
        if (++epoch == l.config().epochs) break;
        continue;
      }
      std::uint64_t pixels = b.pixels.size();
      for (auto p : b.pixels) pixels = draws::mix(pixels + p);
      std::string line;
      for (std::size_t i = 0; i < b.keys.size(); ++i) {
        line += cat(b.keys[i], "=", b.captions[i], " ");
        out.keys.push_back(b.keys[i]);
      }
      out.lines.push_back(cat(line, pixels));
      out.next.push_back(b.next);
      CHECK(l.position() == b.next);
    }
  } catch (const error& e) { out.refused = e.what(); }
  return out;
}
inline stream all_of(const loader_config& c) {
  loader l(c);
  return all_of(l);
}
inline std::set<std::string> unique(const list& l) { return {l.begin(), l.end()}; }
