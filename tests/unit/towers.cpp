// Hugging Face's towers alone: the embeddings of the one that is there are transformers' (tests/golden/towers.py), and what needs
// the other one is refused.
#include <clipx/eigen.hpp>
#include <clipx/run/any_model_of.hpp>
#include <nlohmann/json.hpp>

#include "../cases/golden_file.hpp"
#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_towers {

using namespace clipx;
namespace fs = std::filesystem;

namespace {
const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";

/// The largest difference of embeddings.
template <class A>
double distance(const std::vector<A>& got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  double out = 0;
  for (std::size_t i = 0; i < got.size(); ++i) out = std::max(out, std::abs(static_cast<double>(got[i]) - want[i]));
  return out;
}
void copy_folder(const std::string& from, const std::string& to) {
  fs::copy(from, to);
  fs::remove(to + "/golden.safetensors");
  fs::remove(to + "/without_projection.json");
}
}  // namespace

TEST_CASE("towers: embeddings of one alone") {
  const std::string name = "tower_";
  eigen<double> d;
  const auto image = load<vit>(d, golden + name + "image"), text = load<vit>(d, golden + name + "text");
  const cases::golden_file of_image(golden + name + "image/golden.safetensors"), of_text(golden + name + "text/golden.safetensors");
  CHECK(distance(embed_normalized(image.model(), of_image.pixels()).values, of_image.values("embeds")) < 1e-12);
  CHECK(distance(embed_tokens(text.model(), of_text.tokens()).values, of_text.values("embeds")) < 1e-12);

  const auto both = Contains("expected a model with both towers, got");
  for (auto* model : {&image, &text}) CHECK_THAT(message([&] { model->score(); }), both);
  CHECK_THAT(message([&] { image.encode_text({"a"}); }), Contains("expected a model with a text tower, got an image tower alone"));
  CHECK_THAT(message([&] { image.source().text(); }), Contains("expected a model with a text tower"));
  CHECK_THAT(message([&] { embed_tokens(image.model(), of_text.tokens()); }), Contains("a text tower"));
  const auto refused = Contains("expected a model with an image tower, got a text tower alone");
  CHECK_THAT(message([&] { text.encode_pixels({}); }), refused);
  CHECK_THAT(message([&] { embed_normalized(text.model(), std::vector<float>(3 * 224 * 224)); }), refused);
}

TEST_CASE("towers: what a checkpoint says of one") {
  const auto image = checkpoint::open(golden + "tower_image"), text = checkpoint::open(golden + "tower_text");
  CHECK(image.config().towers == tower_set::image);
  CHECK(image.config().name == "tower_image");
  CHECK(image.config().embed_dim == 10);
  CHECK(image.config().act == activation::gelu);
  CHECK(image.pixels().size == 12);
  CHECK(text.config().towers == tower_set::text);
  CHECK(text.config().embed_dim == 10);
  CHECK(text.warnings().empty());  // none of preprocessing
  const auto of_image = nlohmann::json::parse(image.summary()), of_text = nlohmann::json::parse(text.summary());
  CHECK(of_image["towers"] == "image");
  CHECK(of_image["image_size"] == 12);
  CHECK_FALSE(of_image.contains("text_layers"));
  CHECK_FALSE(of_image.contains("ngrams"));
  CHECK(of_text["towers"] == "text");
  CHECK(of_text["text_layers"] == 2);
  CHECK_FALSE(of_text.contains("image_size"));
  const temporary_folder dir;
  CHECK_THAT(message([&] { image.write(dir / "out", layout::hf, "f32"); }), Contains("expected a model with both towers"));
  CHECK_FALSE(fs::exists(dir / "out"));
  CHECK_THAT(message([&] { check_config(text.settings()); }), Contains("expected a model with both towers, got one alone"));
}

TEST_CASE("towers: any_model of one alone") {
  const auto model = load_any<eigen<float>>(checkpoint::open(golden + "tower_image"));
  const std::vector<std::uint8_t> rgb(2 * 12 * 12 * 3, 100);
  const auto rows = model.encode_pixels(rgb);
  CHECK(rows.rows() == 2);
  CHECK(model.scores(rows, model.keep(rows)).cols == 2);  // images with images
  CHECK_THAT(message([&] { model.rank(model.scores(rows, model.keep(rows)), 0); }), Contains("both towers"));
  const std::vector<std::string> texts{"a"};
  CHECK_THAT(message([&] { model.encode_text(texts); }), Contains("a text tower"));
}

TEST_CASE("towers: models without a projection, and others") {
  const temporary_folder dir;
  for (const std::string which : {"image", "text"}) {
    const auto to = dir / which;
    copy_folder(golden + "tower_" + which, to);
    fs::copy_file(golden + "tower_" + which + "/without_projection.json", to + "/config.json",
                  fs::copy_options::overwrite_existing);
    const std::string name = which == "image" ? "CLIPVisionModel" : "CLIPTextModel";
    CHECK_THAT(message([&] { checkpoint::open(to); }), Contains(name + " has no projection") && Contains(name + "WithProjection"));
  }
  for (const std::string type : {"blip_text_model", "siglip_text_model"}) {
    write_file(dir / "text/config.json", R"({"model_type": ")" + type + "\"}");
    CHECK_THAT(message([&] { checkpoint::open(dir / "text"); }), Contains("model_type: \"" + type + "\" is not supported"));
  }
  // the weights of the other tower
  fs::copy_file(golden + "tower_text/config.json", dir / "image/config.json", fs::copy_options::overwrite_existing);
  CHECK_THAT(message([&] { checkpoint::open(dir / "image"); }), Contains("missing: text_projection.weight [12, 10]"));
}

}  // namespace test_towers
