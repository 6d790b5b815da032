// Duplicates: what the finder says against comparing all with all, and k-means and SemDeDup against plain Python
// (tests/golden/curate_images.py).
#include <bit>
#include <clipx/core/random.hpp>
#include <clipx/curate/duplicates.hpp>
#include <clipx/curate/semantic.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_curate_duplicates {

using namespace clipx;

namespace {

/// As rows_of() in curate_images.py.
std::vector<float> unit_rows(std::size_t n, std::size_t d) {
  const draws centers(1), noise(2);
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) {
    const double scale = 0.6 / static_cast<double>(1 + i / 24);
    std::vector<double> row;
    double square = 0;
    for (std::size_t j = 0; j < d; ++j) {
      row.push_back(centers.uniform(i % 12 * d + j) + scale * noise.uniform(i * d + j));
      square += row[j] * row[j];
    }
    for (const double v : row) out.push_back(static_cast<float>(v / std::sqrt(square)));
  }
  return out;
}

std::string ppm(int side, std::uint8_t first, const std::string& comment = "") {
  std::string out = "P6\n" + comment + std::to_string(side) + " " + std::to_string(side) + "\n255\n";
  for (int i = 0; i < side * side * 3; ++i)
    out += static_cast<char>(static_cast<std::uint8_t>(i == 0 ? first : (i / 3 % side) * 5 + i / 3 / side * i % 7));
  return out;
}

}  // namespace

TEST_CASE("curate, duplicates: bytes, pixels, similar images") {
  const auto hash = [](const duplicate_rules& rules, const std::string& file) {
    return hash_image(rules, std::as_bytes(std::span(file)), "x");
  };
  const std::string one = ppm(40, 0), same_pixels = ppm(40, 0, "# a comment\n"), close = ppm(40, 3);
  duplicate_finder all({}, 10);
  CHECK_FALSE(all.find(hash({}, one)));
  all.add(hash({}, ppm(17, 90)));
  all.add(hash({}, one));
  const auto how = [&](const std::string& file) {
    const auto found = all.find(hash({}, file));
    return found ? std::string(found->how) + " " + std::to_string(found->number) : "new";
  };
  CHECK(how(one) == "bytes 1");
  CHECK(how(same_pixels) == "pixels 1");
  CHECK(how(close) == "similar 1");
  duplicate_finder exact({true, false, -1}, 10);
  exact.add(hash({true, false, -1}, "no image at all"));
  CHECK(exact.find(hash({true, false, -1}, "no image at all"))->number == 0);
  CHECK_FALSE(exact.find(hash({true, false, -1}, "another")));
  CHECK_THAT(message([&] { hash({}, "no image at all"); }), Contains("x: not an image"));
  CHECK_THAT(message([] { duplicate_finder({false, false, -1}, 1); }), Contains("expected a rule"));
}

TEST_CASE("curate, k-means: the cells of plain Python, whatever the threads") {
  const auto golden = nlohmann::json::parse(contents(CLIPX_SOURCE_DIR "/tests/golden/curate_semantic.json"));
  const auto values = unit_rows(240, 19);
  const mat<const float> rows(values.data(), 240, 19);
  kmeans_config config{golden.at("cells"), golden.at("iterations"), golden.at("seed"), 1};
  const auto centroids = spherical_kmeans(rows, config);
  const auto cells = assign_cells(rows, {centroids.data(), config.cells, 19}, 1);
  std::vector<std::uint32_t> numbers;
  for (const auto& c : cells) numbers.push_back(c.cell);
  CHECK(numbers == golden.at("cell").get<std::vector<std::uint32_t>>());
  config.threads = 3;
  CHECK(spherical_kmeans(rows, config) == centroids);
  config.seed += 1;
  CHECK(spherical_kmeans(rows, config) != centroids);

  for (const auto& one : golden.at("cases")) {
    const semantic_rule rule{one.at("cosine"), one.at("keep_farthest"), one.at("chains")};
    std::vector<std::pair<std::uint32_t, std::uint32_t>> gone;
    for (std::uint32_t c = 0; c < static_cast<std::uint32_t>(config.cells); ++c) {
      std::vector<std::uint32_t> mine;
      std::vector<float> part, cosines;
      for (std::uint32_t i = 0; i < 240; ++i) {
        if (cells[i].cell != c) continue;
        mine.push_back(i);
        part.insert(part.end(), rows.row(i), rows.row(i) + 19);
        cosines.push_back(cells[i].cosine);
      }
      const auto matches = semantic_duplicates({part.data(), static_cast<dim>(mine.size()), 19}, cosines, rule);
      for (std::size_t i = 0; i < mine.size(); ++i)
        if (matches[i].row != semantic_match::none) gone.emplace_back(mine[i], mine[matches[i].row]);
    }
    std::sort(gone.begin(), gone.end());
    CHECK(gone == one.at("gone").get<decltype(gone)>());
  }
}

TEST_CASE("curate, k-means: cells that get empty, rows that cancel") {
  const std::vector<float> twice{1, 0, 1, 0, 1, 0, -1, 0};
  const auto centroids = spherical_kmeans({twice.data(), 4, 2}, {3, 5, 0, 1});
  std::size_t there = 0, opposite = 0;
  for (std::size_t c = 0; c < 3; ++c) {
    there += centroids[2 * c] == 1.0f;
    opposite += centroids[2 * c] == -1.0f;
  }
  CHECK(there == 2);
  CHECK(opposite == 1);
  const std::vector<float> cancel{1, 0, -1, 0};
  CHECK(spherical_kmeans({cancel.data(), 2, 2}, {1, 3, 0, 1}) == std::vector<float>{1, 0});
  CHECK_THAT(message([&] { spherical_kmeans({twice.data(), 4, 2}, {5, 1, 0, 1}); }), Contains("1 to 4 cells"));
}

}  // namespace test_curate_duplicates
