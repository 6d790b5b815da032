// Checkpoints: settings that configuration files hold are read where transformers 5 and open_clip look for them, or refused by
// name.
#include <clipx/checkpoint/checkpoint.hpp>
#include <nlohmann/json.hpp>

#include "catch.hpp"
#include "tiny_model.hpp"

namespace test_checkpoint_settings {

using namespace clipx;
namespace fs = std::filesystem;
using json = nlohmann::json;

namespace {

/// A folder of transformers, whose files may be changed.
struct hf_folder {
  temporary_folder dir;
  std::string path = dir / "m";
  json config, pixels;
  explicit hf_folder(const std::string& name = "hf_eos") {
    const fs::path from = fs::path(CLIPX_SOURCE_DIR) / "tests/golden/models" / name;
    fs::create_directory(path);
    for (auto* file : {"config.json", "preprocessor_config.json", "model.safetensors"})
      fs::copy_file(from / file, fs::path(path) / file);
    config = json::parse(contents(path + "/config.json"));
    pixels = json::parse(contents(path + "/preprocessor_config.json"));
  }
  void put(const std::string& file, const json& value) const { write_file(path + "/" + file, value.dump()); }
  void remove(const std::string& file) const { fs::remove(path + "/" + file); }
  checkpoint open() const { return checkpoint::open(path); }
  std::string refusal() const {
    return message([&] { open(); });
  }
  /// What comes of the preprocessor's settings with some changed.
  std::string with(const json& change) const {
    auto now = pixels;
    now.update(change);
    put("preprocessor_config.json", now);
    return refusal();
  }
};
const std::array<float, 3> half{0.5f, 0.5f, 0.5f};

}  // namespace

TEST_CASE("settings: processor_config.json, which transformers 5 writes alone") {
  hf_folder m;
  m.pixels["image_mean"] = m.pixels["image_std"] = {0.5, 0.5, 0.5};
  m.remove("preprocessor_config.json");
  m.put("processor_config.json", {{"image_processor", m.pixels}, {"processor_class", "CLIPProcessor"}});
  const auto c = m.open();
  CHECK(c.pixels().mean == half);
  CHECK(c.pixels().std == half);
  CHECK(c.warnings().empty());
  c.write(m.dir / "own", layout::open_clip, "f32");
  CHECK(checkpoint::open(m.dir / "own").pixels().mean == half);
  SECTION("both files, which agree") {
    m.put("preprocessor_config.json", m.pixels);
    CHECK(m.open().pixels() == c.pixels());
  }
  SECTION("both files, which do not: versions of transformers read one or the other") {
    m.pixels["image_mean"] = {0.4, 0.5, 0.5};
    m.put("preprocessor_config.json", m.pixels);
    CHECK_THAT(m.refusal(), Contains("preprocessor_config.json and processor_config.json preprocess images differently") &&
                                Contains("remove one"));
  }
  SECTION("an older processor_config.json, without an image processor") {
    m.put("processor_config.json", {{"processor_class", "CLIPProcessor"}});
    m.pixels["image_mean"] = {0.4, 0.5, 0.5};
    m.put("preprocessor_config.json", m.pixels);
    CHECK(m.open().pixels().mean == std::array<float, 3>{0.4f, 0.5f, 0.5f});
  }
  SECTION("errors name the file") {
    m.pixels["resample"] = 1;
    m.put("processor_config.json", {{"image_processor", m.pixels}});
    CHECK_THAT(m.refusal(), Contains("processor_config.json: resample: 1 is not supported"));
    m.put("processor_config.json", json::array());
    CHECK_THAT(m.refusal(), Contains("processor_config.json: expected an object"));
  }
  SECTION("neither file: a warning says what is done") {
    m.remove("processor_config.json");
    const auto plain = m.open();
    CHECK(plain.pixels().mean == preprocess_config{}.mean);
    CHECK(plain.pixels().size == 28);
    REQUIRE(plain.warnings().size() == 1);
    CHECK_THAT(plain.warnings()[0],
               Contains("neither preprocessor_config.json nor processor_config.json") && Contains("28 pixels"));
  }
  SECTION("an empty file is not one that is missing") {
    m.remove("processor_config.json");
    write_file(m.path + "/preprocessor_config.json", "");
    CHECK_THAT(m.refusal(), Contains("not valid JSON"));
  }
}

TEST_CASE("settings: the forms of an image processor's size") {
  hf_folder m;
  const auto resize = [&](const json& change) {
    CHECK(m.with(change) == "no error");
    return m.open().pixels();
  };
  CHECK(resize({{"size", 28}}).resize == resize_mode::shortest);
  CHECK(resize({{"size", 40}}).resize_to == 40);
  CHECK(resize({{"size", 40}, {"crop_size", {28, 28}}}).resize_to == 40);
  CHECK(resize({{"size", {{"shortest_edge", 40}, {"longest_edge", nullptr}}}}).resize_to == 40);
  CHECK(resize({{"size", {{"height", 28}, {"width", 28}}}}).resize == resize_mode::squash);
  CHECK(resize({{"size", {28, 28}}}).resize == resize_mode::squash);
  CHECK(resize({{"size", 28}, {"default_to_square", true}}).resize == resize_mode::squash);
  CHECK(resize({{"size", {{"height", 28}, {"width", 28}}}, {"do_center_crop", false}, {"crop_size", 224}}).resize ==
        resize_mode::squash);  // what is not cropped has no crop's size
  CHECK_THAT(m.with({{"size", {{"shortest_edge", 40}, {"longest_edge", 80}}}}),
             Contains("size: only shortest_edge, or height and width, are supported") && Contains("\"longest_edge\":80"));
  CHECK_THAT(m.with({{"size", {{"longest_edge", 28}}}}), Contains("size: only shortest_edge"));
  CHECK_THAT(m.with({{"size", {{"height", 28}, {"width", 56}}}}), Contains("size: only squares are supported"));
  CHECK_THAT(m.with({{"size", {{"height", 56}, {"width", 56}}}}), Contains("size: 56 does not suit"));
  CHECK_THAT(m.with({{"size", 20}}), Contains("size: 20 does not suit"));
  CHECK_THAT(m.with({{"size", -3}}), Contains("size: expected a side in pixels"));
  CHECK_THAT(m.with({{"crop_size", {{"shortest_edge", 28}}}}), Contains("crop_size: only height and width are supported"));
  CHECK_THAT(m.with({{"crop_size", 30}}), Contains("crop_size: 30 is not the model's image size, 28"));
  m.pixels.erase("size");
  CHECK(resize(json::object()).resize_to == 224);  // transformers' default, not the model's size
  m.pixels.erase("crop_size");
  CHECK_THAT(m.with(json::object()), Contains("crop_size: 224 (CLIPImageProcessor's default) is not the model's image size"));
}

TEST_CASE("settings: what an image processor asks for and clipx does not do is an error") {
  hf_folder m;
  const json refused{{"do_center_crop", false},
                     {"do_normalize", false},
                     {"do_rescale", false},
                     {"do_resize", false},
                     {"do_convert_rgb", false},
                     {"do_pad", true},
                     {"use_square_size", true},
                     {"resample", 0},
                     {"rescale_factor", 0.5},
                     {"image_mean", 0.5},
                     {"image_std", {0, 1, 1}},
                     {"image_processor_type", "SiglipImageProcessor"},
                     {"feature_extractor_type", "ViTFeatureExtractor"},
                     {"do_reduce_labels", true}};
  for (auto& [key, value] : refused.items()) {
    INFO(key);
    CHECK_THAT(m.with({{key, value}}), Contains("preprocessor_config.json: " + key + ": "));
  }
  CHECK(m.with({{"do_normalize", nullptr},
                {"do_pad", nullptr},
                {"processor_class", "CLIPProcessor"},
                {"data_format", "channels_first"},
                {"image_processor_type", "CLIPImageProcessorFast"},
                {"use_square_size", false}}) == "no error");
  CHECK(m.with({{"resample", 2}}) == "no error");
  CHECK(m.open().pixels().interpolation == filter::bilinear);
}

TEST_CASE("settings: config.json") {
  hf_folder m;
  const auto with = [&](const char* part, const json& change) {
    auto now = m.config;
    (*part ? now[part] : now).update(change);
    m.put("config.json", now);
    return m.refusal();
  };
  CHECK_THAT(with("", {{"auto_map", {{"AutoModel", "x.Y"}}}}), Contains("auto_map: {\"AutoModel\":\"x.Y\"} is not supported"));
  CHECK_THAT(with("", {{"quantization_config", {{"bits", 4}}}}), Contains("quantization_config"));
  CHECK_THAT(with("", {{"projection_dim", 25}}), Contains("expected [25, "));
  CHECK(with("vision_config", {{"image_size", {28, 28}}, {"patch_size", {7, 7}}}) == "no error");
  CHECK_THAT(with("vision_config", {{"image_size", {28, 35}}}), Contains("image_size: [28,35] is not supported"));
  CHECK_THAT(with("vision_config", {{"hidden_act", "gelu_new"}}), Contains("gelu_new"));
  CHECK(with("vision_config", {{"layer_norm_eps", 1e-6}}) == "no error");  // each tower has its own
  CHECK_THAT(with("text_config", {{"eos_token_id", {2, 3}}}), Contains("eos_token_id: expected a number"));
}

TEST_CASE("settings: tokenizer_config.json of transformers") {
  const temporary_folder dir;
  tiny::write_folder(dir / "own");
  checkpoint::open(dir / "own").write(dir / "hf", layout::hf, "f32");
  const auto put = [&](const json& config) { write_file(dir / "hf/tokenizer_config.json", config.dump()); };
  const std::string text = "the red cat of the red cat of the red cat of the red cat of the red cat";
  const auto whole = checkpoint::open(dir / "hf").text()(text);
  REQUIRE(whole.size() == 16);
  put({{"model_max_length", 16}, {"do_lower_case", true}, {"tokenizer_class", "CLIPTokenizer"}});
  CHECK(checkpoint::open(dir / "hf").text()(text) == whole);
  CHECK(checkpoint::open(dir / "hf").warnings().empty());
  put({{"model_max_length", 1e30}});
  CHECK(checkpoint::open(dir / "hf").text()(text) == whole);

  put({{"model_max_length", 8}});
  const auto shorter = checkpoint::open(dir / "hf");
  CHECK(shorter.text()(text).size() == 8);
  CHECK(shorter.text()(text).back() == shorter.text().eot());
  CHECK(shorter.text().context_length() == 8);
  write_file(dir / "hf/spiece.model", "pieces");
  shorter.write(dir / "again", layout::hf, "f32");
  CHECK(detail::read_file(dir / "again/spiece.model") == "pieces");  // transformers' SiglipTokenizer reads no other file
  CHECK(checkpoint::open(dir / "again").text()(text).size() == 8);
  CHECK_THAT(message([&] { shorter.write(dir / "lost", layout::open_clip, "f32"); }),
             Contains("open_clip's layout has no place for model_max_length 8"));

  put({{"do_lower_case", false}});
  REQUIRE(checkpoint::open(dir / "hf").warnings().size() == 1);
  CHECK_THAT(checkpoint::open(dir / "hf").warnings()[0], Contains("do_lower_case: false has no effect"));
  put({{"tokenizer_class", "BertTokenizer"}});
  CHECK_THAT(message([&] { checkpoint::open(dir / "hf").text(); }),
             Contains("tokenizer_class: BertTokenizer is supported as a tokenizer.json only"));
  put({{"tokenizer_class", "SiglipTokenizer"}, {"do_lower_case", false}});
  CHECK_THAT(message([&] { checkpoint::open(dir / "hf").text(); }), Contains("do_lower_case: false is not supported"));
  put({{"tokenizer_class", "GemmaTokenizer"}, {"do_lower_case", true}});
  REQUIRE(checkpoint::open(dir / "hf").warnings().size() == 1);
  CHECK_THAT(checkpoint::open(dir / "hf").warnings()[0],
             Contains("do_lower_case: true has no effect in transformers' GemmaTokenizer"));
  put({{"model_max_length", 1}});
  CHECK_THAT(message([&] { checkpoint::open(dir / "hf").text(); }), Contains("model_max_length"));
}

TEST_CASE("settings: open_clip_config.json's preprocess_cfg") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto config = json::parse(contents(dir / "m/open_clip_config.json"));
  const auto with = [&](const json& change) {
    auto now = config;
    now["preprocess_cfg"].update(change);
    write_file(dir / "m/open_clip_config.json", now.dump());
    return message([&] { checkpoint::open(dir / "m"); });
  };
  CHECK(with({{"size", 99}, {"mode", "RGB"}, {"mean", {0.5, 0.5, 0.5}}}) == "no error");
  CHECK(checkpoint::open(dir / "m").pixels().mean == half);
  const json refused{{"mode", "L"},   {"interpolation", "nearest"}, {"resize_mode", "other"}, {"fill_color", 300},
                     {"mean", {0.5}}, {"std", {0, 1, 1}},           {"center_crop", false}};
  for (auto& [key, value] : refused.items()) {
    INFO(key);
    CHECK_THAT(with({{key, value}}), Contains("preprocess_cfg: " + key + ": "));
  }
}

TEST_CASE("checkpoint settings: options that do not fit") {
  const temporary_folder dir;
  const auto m = dir / "m";
  tiny::write_folder(m);
  write_file(dir / "merges.txt", "#version: 0.2\nt h\n");
  const auto source = checkpoint::open(m, {.tokenizer = dir / "merges.txt"});
  CHECK_THAT(message([&] { source.text(); }),
             Contains("the tokenizer has 515 tokens") && Contains("checkpoint_options::tokenizer"));
  CHECK_THAT(message([&] { checkpoint::open(m, {.eos_id = -5}); }),
             Contains("checkpoint_options::eos_id: expected a token's id") && Contains("-5"));
}

}  // namespace test_checkpoint_settings
