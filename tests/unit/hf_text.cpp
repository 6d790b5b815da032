// Text towers that are Hugging Face's models: configurations that are read, refused and written, texts that are packed, a model
// that was trained.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/init.hpp>
#include <clipx/train/state.hpp>
#include <clipx/train/trained_model.hpp>
#include <cmath>
#include <nlohmann/json.hpp>

#include "../cases/golden_file.hpp"
#include "catch.hpp"
#include "temporary.hpp"
#include "tiny_model.hpp"

namespace test_hf_text {

using namespace clipx;
using nlohmann::json;

namespace {
json read_json(const std::string& path) {
  const auto file = mapped_file::open(path);
  return json::parse(std::string_view(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()));
}
json golden(const char* name) { return read_json(cat(CLIPX_SOURCE_DIR "/tests/golden/models/", name, "/open_clip_config.json")); }
clip_config read(const json& config) { return read_open_clip_config(config.dump(), "x").model; }
/// The configuration with fields of its text_cfg changed.
json with(json config, const json& change) {
  (config.contains("model_cfg") ? config["model_cfg"] : config)["text_cfg"].update(change);
  return config;
}
std::string refused(const json& config) {
  return message([&] { read(config); });
}
bool same_model(const clip_config& a, const clip_config& b) {
  return a.vision == b.vision && a.text == b.text && a.act == b.act && a.norm_eps == b.norm_eps && a.text_act() == b.text_act() &&
         a.embed_dim == b.embed_dim && loss_of(a).name() == loss_of(b).name();
}
const json b32{{"image_size", 224}, {"layers", 12}, {"width", 768}, {"patch_size", 32}};

/// A model of these sizes as tests train it.
template <class Arch>
checkpoint_config tiny_config(const text_config& text) {
  auto c = tiny::vit().model;
  c.vision = typename Arch::config{c.vision.as<vit_config>()};
  c.text = text;
  c.text.act = std::is_same_v<Arch, m2m_vit> ? activation::relu : activation::gelu;
  return default_config(c);
}
text_config tiny_bert() {
  text_config t{16, tiny::vocabulary, 32, 2, 1, 80, text_pool::mean};
  t.hf = {"some/roberta", 18, 1, 1, text_head::mlp};
  return t;
}
text_config tiny_m2m() {
  text_config t{16, tiny::vocabulary, 32, 2, 1, 80, text_pool::first};
  t.hf = {"some/nllb", 0, 1, 1, text_head::linear};
  return t;
}
}  // namespace

TEST_CASE("hf text: open_clip's configurations by name") {
  const json config{
      {"embed_dim", 512},
      {"vision_cfg", b32},
      {"text_cfg",
       {{"hf_model_name", "xlm-roberta-base"}, {"hf_tokenizer_name", "xlm-roberta-base"}, {"hf_pooler_type", "mean_pooler"}}}};
  CHECK(same_model(read(config), presets::find("xlm-roberta-base-ViT-B-32")));
  CHECK(read_open_clip_config(config.dump(), "x").text.clean == clean_rule::whitespace);
  auto roberta = with(config, {{"hf_model_name", "roberta-base"}});
  roberta["quick_gelu"] = true;
  CHECK(same_model(read(roberta), presets::find("roberta-ViT-B-32")));
  CHECK(read(roberta).text_act() == activation::gelu);
  const json nllb{
      {"hf_model_name", "facebook/nllb-200-distilled-600M"}, {"hf_proj_type", "linear"}, {"hf_pooler_type", "cls_pooler"}};
  CHECK(same_model(read(with(config, nllb)), presets::find("nllb-clip-base")));
  const auto organization = read(with(config, {{"hf_model_name", "FacebookAI/xlm-roberta-large"}}));
  CHECK((organization.text.width == 1024 && organization.text.hf.name == "FacebookAI/xlm-roberta-large"));
  CHECK(read(with(config, {{"width", 5}, {"vocab_size", 7}})).text.width == 768);  // of a tower of open_clip's own
  CHECK(read(with(config, {{"context_length", 64}})).text.context_length == 64);
  CHECK_THAT(refused(with(config, {{"hf_model_name", "google/mt5-base"}})),
             Contains("google/mt5-base") && Contains("hf_text_config") && Contains("xlm-roberta-large"));
  CHECK_THAT(refused(with(config, {{"hf_pooler_type", "cls_pooler"}})),
             Contains("hf_pooler_type: cls_pooler is not supported with xlm-roberta-base") && Contains("only mean_pooler"));
  CHECK_THAT(refused(with(config, {{"hf_proj_type", "x"}})), Contains("hf_proj_type: x"));
  CHECK_THAT(refused(with(config, {{"hf_model_name", ""}})), Contains("hf_model_name: expected the name"));
  CHECK_THAT(refused(with(config, {{"hf_model_name", 5}})), Contains("hf_model_name: expected a string, got 5"));
  CHECK_THAT(refused(with(config, {{"rope", true}})), Contains("rope: true is not known"));
  CHECK_THAT(refused(with(config, {{"context_length", 513}})), Contains("enough for 512 tokens") && Contains("513"));
  CHECK_THAT(refused(with(config, {{"hf_proj_type", nullptr}})), Contains("expected a projection") && Contains("got 768"));
}

TEST_CASE("hf text: a configuration of Hugging Face beside open_clip's") {
  const auto roberta = golden("roberta_cls"), nllb = golden("nllb");
  const auto c = read(roberta);
  CHECK((c.text_act() == activation::gelu_tanh && c.text_norm_eps() == 1e-6 && c.act == activation::gelu && c.norm_eps == 1e-5));
  CHECK((c.text.pool == text_pool::first && c.text.hf.token_types == 2 && c.text.hf.positions == 12 && c.text.hf.pad_id == 0));
  CHECK(read(nllb).text_act() == activation::relu);
  const auto changed = [](json config, const json& change) {
    config["hf_text_config"].update(change);
    return config;
  };
  CHECK_THAT(refused(changed(roberta, {{"model_type", "bert"}})), Contains("hf_text_config: model_type: \"bert\""));
  CHECK_THAT(refused(changed(roberta, {{"is_decoder", true}})), Contains("is_decoder"));
  CHECK_THAT(refused(changed(roberta, {{"position_embedding_type", "relative_key"}})), Contains("relative_key"));
  CHECK_THAT(refused(changed(roberta, {{"rope_theta", 1}})), Contains("hf_text_config: rope_theta: 1 is not known"));
  CHECK_THAT(refused(changed(roberta, {{"pad_token_id", 90}})), Contains("pad_token_id: expected an id below 40, got 90"));
  CHECK_THAT(refused(changed(nllb, {{"scale_embedding", false}})), Contains("scale_embedding"));
  CHECK_THAT(refused(changed(nllb, {{"activation_function", "silu"}})), Contains("silu"));
  auto none = roberta;
  none.erase("hf_text_config");
  CHECK_THAT(refused(none), Contains("tiny") && Contains("hf_text_config"));
  // another activation is that of the image tower alone
  CHECK(read_open_clip_config(roberta.dump(), "x", {"quick_gelu", 0}).model.text_act() == activation::gelu_tanh);
  for (auto* name : {"xlm_roberta", "roberta_cls", "nllb"}) {
    INFO(name);
    const auto whole = read_open_clip_config(golden(name).dump(), name);
    const auto text = open_clip_config_text(whole);
    CHECK(json::parse(text).contains("hf_text_config"));
    CHECK(!json::parse(text)["model_cfg"]["text_cfg"].contains("hf_text_config"));
    CHECK(same_model(read(json::parse(text)), whole.model));
    CHECK_THAT(message([&] { hf_config_text(whole, "f32", 0, 2, 1); }), Contains("layout::open_clip"));
  }
  for (auto* name :
       {"roberta-ViT-B-32", "xlm-roberta-base-ViT-B-32", "nllb-clip-base", "nllb-clip-large", "nllb-clip-base-siglip"}) {
    INFO(name);
    const auto text = open_clip_config_text(default_config(presets::find(name)));
    CHECK(!json::parse(text).contains("hf_text_config"));  // the name says it
    CHECK(same_model(read(json::parse(text)), presets::find(name)));
  }
}

TEST_CASE("hf text: padding is no part of a text") {
  auto t = tiny_bert();
  t.context_length = 6;
  const std::vector<std::vector<std::int32_t>> rows{{0, 5, 2, 1, 1, 1}, {0, 1, 7, 2}, {3}};
  const auto packed = packed_texts::pack(rows, t);
  CHECK(packed.ids == std::vector<std::int32_t>{0, 5, 2, 0, 7, 2, 3});
  CHECK(packed.positions == std::vector<std::int32_t>{0, 1, 2, 0, 1, 2, 0});
  CHECK(packed.lengths == std::vector<std::int32_t>{3, 3, 1});
  const auto bad = [&](const std::vector<std::int32_t>& row) {
    return message([&] { packed_texts::pack(std::vector<std::vector<std::int32_t>>{row}, t); });
  };
  CHECK_THAT(bad({1, 1}), Contains("text 0: expected a token, got padding (id 1)"));
  CHECK(bad({1, 5}) == message([] {}));
  CHECK_THAT(bad({0, 1, 1, 1, 1, 1, 1}), Contains("1 to 6 tokens, got 7"));
  t.pool = text_pool::first;
  CHECK_THAT(bad({1, 5}), Contains("expected a token first, got padding (id 1)"));
}

TEST_CASE("hf text: initialization") {
  eigen<float> d;
  const auto c = tiny_config<bert_vit>(tiny_bert()).model;
  trainable<bert_vit, eigen<float>> model(d, c);
  initialize(model, c, 1);
  int found = 0;
  walk(model, [&](const std::string& name, mat<float>& m, const shape&, role) {
    if (name.starts_with("visual.") || name.starts_with("logit")) return;
    double squares = 0, largest = 0;
    for (dim i = 0; i < m.size(); ++i) {
      const double v = static_cast<double>(m.data[i]);
      squares += v * v;
      largest = std::max(largest, std::abs(v));
    }
    const double deviation = std::sqrt(squares / static_cast<double>(m.size()));
    INFO(name << ": deviation " << deviation << ", largest " << largest);
    ++found;
    const bool norm = name.find("ln_") != std::string::npos;
    if (norm || name.ends_with("bias")) CHECK(deviation == (norm && name.ends_with("weight") ? 1.0 : 0.0));
    else if (name.starts_with("proj.")) CHECK(largest <= 1 / std::sqrt(static_cast<double>(m.cols)));
    else if (m.size() > 500) CHECK(std::abs(deviation / 0.02 - 1) < 0.15);
  });
  CHECK(found == 5 + 12 + 2);
}

template <class Arch>
void trained_written_loaded(const checkpoint_config& c) {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", c);
  const auto source = checkpoint::open(dir / "m");
  CHECK(same_model(source.config(), c.model));
  CHECK(tiny::read(source) == tiny::weights(source.config()));
  source.write(dir / "again", layout::open_clip, "f32");
  std::filesystem::create_directory(dir / "own");
  CHECK(tiny::read(checkpoint::open(dir / "again")) == tiny::read(source));
  write_file(dir / "own/open_clip_config.json", open_clip_config_text(c));
  write_file(dir / "own/bpe_simple_vocab_16e6.txt.gz", tiny::merges);
  std::filesystem::copy(dir / "m/open_clip_model.safetensors", dir / "own/open_clip_model.safetensors");
  CHECK_THAT(message([&] { checkpoint::open(dir / "own").text(); }),
             Contains("tokenizer of Hugging Face") && Contains("CLIP's own"));
  CHECK_THAT(message([&] { source.write(dir / "hf", layout::hf, "f32"); }), Contains("layout::open_clip"));
  CHECK_THAT(message([&] {
               checkpoint::open(dir / "m/open_clip_model.safetensors", {"", "gelu", 16, -1});
             }),
             Contains("needs its folder"));
  eigen<float> d;
  trainer_options slow;
  slow.schedule = {.peak = 2e-4, .total = 40};
  trainer<Arch, eigen<float>> t(d, source.settings(), slow);
  std::vector<std::uint8_t> rgb(3 * 32 * 32 * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  std::vector<std::vector<std::int32_t>> texts;
  for (auto* text : {"the cat", "a red cat", "of"}) texts.push_back(source.text()(text));
  double first = 0;
  for (int i = 0; i < 20; ++i) {
    t.step(rgb, texts);
    if (i == 0) first = t.loss();
  }
  CHECK(t.loss() < first);
  std::filesystem::create_directory(dir / "new");
  write_model(dir / "new", t, source.text());
  const trained_model now(t, source.text());
  const auto loaded = load<Arch>(d, dir / "new");
  CHECK(loaded.encode_pixels(rgb).values == now.encode_pixels(rgb).values);
  CHECK(loaded.encode_text({"the cat"}).values == now.encode_text(std::vector<std::string>{"the cat"}).values);
  CHECK(same_model(loaded.source().config(), source.config()));
}

TEST_CASE("hf text: trained, written and loaded") {
  const temporary_folder dir;
  auto bert = tiny_bert(), m2m = tiny_m2m();
  tiny::write_folder(dir / "m", tiny_config<bert_vit>(bert));
  CHECK_THAT(message([&] { checkpoint::open(dir / "m").text(); }),
             Contains("masks token 1 as padding, the tokenizer pads with 521"));
  for (auto* t : {&bert, &m2m}) t->hf.pad_id = 521;  // as CLIP's tokenizer pads
  bert.hf.positions = 521 + 1 + 16;
  trained_written_loaded<bert_vit>(tiny_config<bert_vit>(bert));
  trained_written_loaded<m2m_vit>(tiny_config<m2m_vit>(m2m));
}

TEST_CASE("hf text: M-CLIP's text towers alone") {
  const std::string models = CLIPX_SOURCE_DIR "/tests/golden/models/";
  eigen<double> d;
  for (auto* name : {"m_clip", "m_clip_bert"}) {
    INFO(name);
    const auto model = load<bert_vit>(d, models + name);
    const cases::golden_file g(models + name + "/golden.safetensors");
    const auto got = embed_tokens(model.model(), g.tokens()).values;
    const auto want = g.values("embeds");
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(std::abs(got[i] - want[i]) < 1e-12);
    CHECK(model.source().config().towers == tower_set::text);
    CHECK((model.source().config().embed_dim == 7 && model.source().config().text.context_length == 10));
    CHECK_THAT(message([&] { model.encode_pixels({}); }), Contains("expected a model with an image tower"));
    CHECK_THAT(message([&] { model.score(); }), Contains("expected a model with both towers"));
    const auto facts = json::parse(model.source().summary());
    CHECK((facts["towers"] == "text" && facts["text_pool"] == "mean" && facts["layout"] == "hf" && !facts.contains("image_size")));
    const temporary_folder dir;
    CHECK_THAT(message([&] { model.source().write(dir / "m", layout::open_clip, "f32"); }),
               Contains("expected a model with both towers, got a text tower alone"));
    CHECK(!std::filesystem::exists(dir / "m"));
  }
}

TEST_CASE("hf text: M-CLIP's configurations") {
  const auto read_one = [](const json& config) { return read_hf_config(config.dump(), "", "x").model; };
  const auto refused_one = [&](json config, const json& change) {
    config.update(change);
    return message([&] { read_one(config); });
  };
  const json published{{"architectures", {"MultilingualCLIP"}},
                       {"modelBase", "xlm-roberta-large"},
                       {"model_type", "M-CLIP"},
                       {"numDims", 512},
                       {"torch_dtype", "float32"},
                       {"transformerDimensions", 1024},
                       {"transformers_version", "4.8.1"}};
  const auto c = read_one(published);
  CHECK((c.towers == tower_set::text && c.embed_dim == 512 && c.text.projection_bias && c.text.hf.head == text_head::linear));
  CHECK((c.text.width == 1024 && c.text.layers == 24 && c.text.vocab_size == 250002 && c.text.context_length == 512));
  CHECK((c.text.pool == text_pool::mean && c.text.hf.first_position() == 2 && c.text_norm_eps() == 1e-5));
  auto labse = published;
  labse.update({{"modelBase", "sentence-transformers/LaBSE"}, {"numDims", 768}, {"transformerDimensions", 768}});
  const auto b = read_one(labse);
  CHECK((b.text.vocab_size == 501153 && b.text.hf.pad_id == 0 && b.text.hf.first_position() == 0 && b.text.context_length == 512));
  CHECK((b.text.hf.token_types == 2 && b.text_norm_eps() == 1e-12 && b.embed_dim == 768));
  const json defaults{{"model_type", "M-CLIP"}, {"transformerDimSize", 1024}};
  CHECK((read_one(defaults).embed_dim == 768 && read_one(defaults).text.hf.name == "xlm-roberta-large"));
  CHECK_THAT(refused_one(published, {{"modelBase", "some/bert"}}),
             Contains("some/bert") && Contains("LaBSE") && Contains("hf_text_config"));
  CHECK_THAT(refused_one(published, {{"transformerDimensions", 768}}), Contains("768 is not the width of xlm-roberta-large, 1024"));
  CHECK_THAT(refused_one(published, {{"pooling", "cls"}}), Contains("pooling: \"cls\" is not known"));
  CHECK_THAT(refused_one(published, {{"numDims", "x"}}), Contains("numDims"));
  CHECK_THAT(refused_one(published, {{"model_type", "m-clip"}}), Contains("\"M-CLIP\""));
}

TEST_CASE("hf text: what inspect says") {
  const std::string golden = CLIPX_SOURCE_DIR "/tests/golden/models/";
  CHECK_THAT(checkpoint::open(golden + "xlm_roberta").summary(),
             Contains("\"architecture\":\"ViT+RoBERTa\"") && Contains("\"text_pool\":\"mean\""));
  CHECK_THAT(checkpoint::open(golden + "nllb").summary(),
             Contains("\"text_activation\":\"relu\"") && Contains("\"text_pool\":\"first position\""));
}

}  // namespace test_hf_text
