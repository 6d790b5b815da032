// The steps of curation that encode: cosines of image and caption, SemDeDup over shards, evaluation images by embedding. Against
// the model and the loops of semantic.hpp called by hand.
#include <clipx/curate/pipeline.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "curate_shards.hpp"
#include "reference.hpp"
#include "tiny_model.hpp"

namespace test_curate_model {

using namespace clipx;
using nlohmann::json;

namespace {

struct model_folder {
  temporary_folder dir;
  std::vector<std::string> images, captions, keys;
  any_model model;

  model_folder() : model(make(dir)) {
    std::filesystem::create_directory(dir.path / "in");
    for (int shard = 0; shard < 3; ++shard) {
      std::vector<pool::pair> all;
      for (int i = 0; i < 14; ++i) {
        const int n = 14 * shard + i;
        keys.push_back("k" + std::to_string(n));
        images.push_back(n == 20 ? "no image" : pool::ppm(static_cast<std::uint64_t>(n % 9), 40, 40));
        if (n != 20 && n > 8)  // nearly one of the first nine
          for (std::size_t b = 100; b < 250; ++b) images.back()[b] = static_cast<char>(n * 5);
        captions.push_back(n % 3 == 0 ? "the cat" : n % 3 == 1 ? "red " + std::to_string(n) : "of the red cat");
        all.push_back(pool::made(keys.back(), images.back(), captions.back()));
      }
      pool::write(dir / ("in/" + std::to_string(shard) + ".tar"), all);
    }
  }
  static any_model make(const temporary_folder& dir) {
    tiny::write_folder(dir / "m");
    return reference::in_float(dir / "m");
  }
  std::vector<float> embedding(const std::string& image) {
    std::vector<float> out;
    model.encode_pixels(read_pixels(std::as_bytes(std::span(image)), "x", model.source().pixels())).append_to(out);
    return out;
  }
  std::vector<float> text(const std::string& caption) {
    std::vector<float> out;
    model.encode_text(std::span(&caption, 1)).append_to(out);
    return out;
  }
  /// Keys that a pipeline of one step removed, with their reasons.
  std::map<std::string, std::string> removed(const std::string& step) {
    std::filesystem::remove_all(dir.path / "out");
    auto p =
        parse_pipeline("{\"data\": \"" + (dir / "in") + "\", \"out\": \"" + (dir / "out") + "\", \"steps\": [" + step + "]}", "p");
    p.curation.threads = 3;
    shared_model shared(model, "tiny", {.batch_size = 4});
    REQUIRE(run_pipeline(p, &shared));
    std::map<std::string, std::string> out;
    const auto lines = contents(dir / "out/removed.jsonl");
    for (std::size_t at = 0; at < lines.size(); at = lines.find('\n', at) + 1) {
      const auto line = json::parse(lines.substr(at, lines.find('\n', at) - at));
      out[line.at("key")] = line.at("reason").get<std::string>() + ": " + line.at("detail").get<std::string>();
    }
    return out;
  }
};

float dot(const std::vector<float>& x, const std::vector<float>& y) {
  return cosine_of(x.data(), y.data(), static_cast<dim>(x.size()));
}

}  // namespace

TEST_CASE("curate, model: the cosine of image and caption") {
  model_folder f;
  std::vector<double> cosines;
  for (std::size_t i = 0; i < f.images.size(); ++i)
    cosines.push_back(i == 20 ? -9 : static_cast<double>(dot(f.embedding(f.images[i]), f.text(f.captions[i]))));
  auto sorted = cosines;
  std::sort(sorted.begin(), sorted.end());
  const double threshold = (sorted[18] + sorted[19]) / 2;
  REQUIRE(sorted[19] - sorted[18] > 1e-5);
  const auto gone = f.removed("{\"step\": \"filter\", \"min_cosine\": " + std::to_string(threshold) + "}");
  CHECK(gone.size() == 19);
  for (std::size_t i = 0; i < f.images.size(); ++i) CHECK(gone.count(f.keys[i]) == (cosines[i] < threshold));
  CHECK_THAT(gone.at("k20"), Contains("image: k20: not an image"));
  for (const auto& p : pool::read(f.dir / "out/00000.tar")) {
    const auto facts = json::parse(p.members.at("json")).at("curate").at("filter").at("clip_score");
    const auto i = static_cast<std::size_t>(std::stoi(p.key.substr(1)));
    CHECK(facts.at("cosine").get<double>() == Approx(cosines[i]).margin(1e-5));
    CHECK(facts.at("keep") == true);
  }
  CHECK(f.removed("{\"step\": \"filter\", \"score\": true}").size() == 1);
  CHECK_THAT(contents(f.dir / "out/report.html"), Contains("Fraction of samples at or above"));
}

TEST_CASE("curate, model: SemDeDup over shards equals one over all rows") {
  model_folder f;
  std::vector<float> rows;
  std::vector<std::size_t> number;  // of the images that decode
  for (std::size_t i = 0; i < f.images.size(); ++i) {
    if (i == 20) continue;
    const auto row = f.embedding(f.images[i]);
    rows.insert(rows.end(), row.begin(), row.end());
    number.push_back(i);
  }
  const dim cols = 24, count = static_cast<dim>(number.size());
  const auto centroids = spherical_kmeans({rows.data(), count, cols}, {5, 20, 3, 1});
  const auto cells = assign_cells({rows.data(), count, cols}, {centroids.data(), 5, cols}, 1);
  std::map<std::string, std::string> expected;  // key: the key that it is a duplicate of
  for (std::uint32_t cell = 0; cell < 5; ++cell) {
    std::vector<std::size_t> mine;
    std::vector<float> part, cosines;
    for (std::size_t i = 0; i < number.size(); ++i) {
      if (cells[i].cell != cell) continue;
      mine.push_back(number[i]);
      part.insert(part.end(), rows.begin() + static_cast<std::ptrdiff_t>(i) * cols,
                  rows.begin() + static_cast<std::ptrdiff_t>(i + 1) * cols);
      cosines.push_back(cells[i].cosine);
    }
    const auto matches = semantic_duplicates({part.data(), static_cast<dim>(mine.size()), cols}, cosines, {.cosine = 0.98});
    for (std::size_t i = 0; i < mine.size(); ++i)
      if (matches[i].row != semantic_match::none) expected[f.keys[mine[i]]] = f.keys[mine[matches[i].row]];
  }
  REQUIRE(expected.size() > 5);
  REQUIRE(expected.size() < 40);
  for (const char* memory : {"1", "1000000"}) {  // a cell at a time, or all of them
    auto gone =
        f.removed("{\"step\": \"semantic\", \"cosine\": 0.98, \"cells\": 5, \"seed\": 3, \"memory\": " + std::string(memory) + "}");
    CHECK(gone.at("k20") == "image: does not decode");
    gone.erase("k20");
    CHECK(gone.size() == expected.size());
    for (const auto& [key, of] : expected) {
      REQUIRE(gone.count(key) == 1);
      CHECK_THAT(gone.at(key), Contains(".tar: " + of + ", cosine 0.9"));
    }
  }
}

TEST_CASE("curate, model: evaluation images by their embeddings") {
  model_folder f;
  const std::string theirs = pool::ppm(4, 40, 40), other = pool::ppm(77);
  pool::write(f.dir / "eval.tar", {pool::made("e0", other, "x"), pool::made("e1", theirs, "y")});
  const auto step = "{\"step\": \"decontaminate\", \"against\": \"" + (f.dir / "eval.tar") +
                    "\", \"pixels\": false, \"distance\": -1, \"cosine\": 0.98}";
  const auto gone = f.removed(step);
  std::size_t found = 0;
  for (std::size_t i = 0; i < f.images.size(); ++i) {
    if (i == 20) continue;
    const bool bytes = f.images[i] == theirs;
    const auto own = f.embedding(f.images[i]);
    const double nearest = std::max(dot(own, f.embedding(theirs)), dot(own, f.embedding(other)));
    if (std::abs(nearest - 0.98) < 1e-5) continue;
    INFO(f.keys[i] << " " << nearest);
    CHECK(gone.count(f.keys[i]) == (bytes || nearest >= 0.98));
    if (!gone.count(f.keys[i])) continue;
    ++found;
    CHECK(gone.at(f.keys[i]).starts_with(bytes ? "bytes: of " : "cosine: of "));
  }
  CHECK(found > 1);
  CHECK_THAT(gone.at("k20"), Contains("image: "));
  CHECK_THAT(message([&] {
               auto p = parse_pipeline(
                   "{\"data\": \"" + (f.dir / "in") + "\", \"out\": \"" + (f.dir / "o") + "\", \"steps\": [" + step + "]}", "p");
               run_pipeline(p, nullptr);
             }),
             Contains("a cosine needs a model, got none"));
}

}  // namespace test_curate_model
