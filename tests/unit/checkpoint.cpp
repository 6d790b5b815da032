// Checkpoints: both layouts and bare files, everything that can be wrong with them, position tables, writing and reading back.
#include <sys/resource.h>

#include <bit>
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/eigen.hpp>
#include <clipx/run/load_any.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <csignal>
#include <cstring>
#include <map>
#include <set>

#include "catch.hpp"
#include "tiny_model.hpp"

namespace test_checkpoint {

using namespace clipx;
namespace fs = std::filesystem;

namespace {

const std::string golden = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/";

std::string refusal(const std::string& path, const checkpoint_options& o = {}) {
  return message([&] { checkpoint::open(path, o); });
}
std::size_t lines(const std::string& text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

/// A copy of a golden folder whose config is changed.
void copy_with(const std::string& name, const std::string& folder, const std::string& config, const std::string& from,
               const std::string& to) {
  fs::create_directories(folder);
  for (auto& entry : fs::directory_iterator(golden + "models/" + name))
    fs::copy_file(entry.path(), folder / entry.path().filename(), fs::copy_options::overwrite_existing);
  write_file(folder + "/" + config, replaced(contents(folder + "/" + config), from, to));
}

tiny::tensor zeros(const std::string& name, std::vector<dim> shape, dtype type = dtype::f32) {
  return {name, type, std::move(shape), [](std::span<double> out) { std::fill(out.begin(), out.end(), 0.0); }};
}

bool same_sizes(clip_config a, clip_config b) {
  for (auto* c : {&a, &b})
    if (c->text.pool == text_pool::argmax) c->text.eos_id = 0;  // not read
  return a.embed_dim == b.embed_dim && a.act == b.act && a.norm_eps == b.norm_eps && a.vision == b.vision && a.text == b.text;
}

}  // namespace

TEST_CASE("checkpoint: the golden folders") {
  const auto vit = checkpoint::open(golden + "models/vit_gelu_hw80");
  CHECK(vit.config().act == activation::gelu);
  CHECK(vit.config().vision == vit_config{14, 4, 160, 2, 57, 1});
  CHECK(vit.config().text.pool == text_pool::argmax);
  const auto resnet = checkpoint::open(golden + "models/resnet/");
  CHECK(resnet.config().vision == modified_resnet_config{64, 4, 4, {1, 2, 1, 1}});
  CHECK(resnet.config().name == "resnet");
  const auto old = checkpoint::open(golden + "models/hf_eos2"), now = checkpoint::open(golden + "models/hf_eos");
  CHECK(old.config().text.pool == text_pool::argmax);
  CHECK(now.config().text.pool == text_pool::eos);
  CHECK(now.config().text.eos_id == 63);
  CHECK(now.config().vision == vit_config{28, 7, 32, 4, 80, 2});
  CHECK(now.pixels().order == pipeline::hf);
  CHECK_THAT(message([&] { vit.text(); }), Contains("vit_gelu_hw80") && Contains("no tokenizer"));
}

TEST_CASE("checkpoint: the roles in which parameters are frozen") {
  std::map<frozen_role, std::set<std::string>> names;
  for (const char* folder : {"models/hf_eos", "models/resnet"})
    for (auto& [name, shape] : parameter_shapes(checkpoint::open(golden + folder).config()))
      names[detail::frozen_role_of(name, shape)].insert(name);
  using enum frozen_role;
  const std::set<std::string> tables{"token_embedding.weight", "positional_embedding", "visual.positional_embedding",
                                     "visual.attnpool.positional_embedding"};
  CHECK(names[table] == tables);
  for (auto* name : {"visual.conv1.weight", "visual.layer1.0.conv1.weight"}) CHECK(names[convolution].count(name) == 1);
  for (auto* name : {"visual.proj", "text_projection", "transformer.resblocks.0.mlp.c_fc.weight"})
    CHECK(names[linear].count(name) == 1);
  for (auto* name : {"logit_scale", "visual.class_embedding", "ln_final.weight", "visual.bn1.running_mean"})
    CHECK(names[vector].count(name) == 1);
}

TEST_CASE("checkpoint: sizes from the shapes of a bare file") {
  const temporary_folder dir;
  const auto file = dir / "bare.safetensors";
  const checkpoint_options said{"", "quick_gelu", 32, -1};
  const auto unclear = [&] { return refusal(file); };
  SECTION("a vision transformer") {
    const auto c = tiny::vit();
    tiny::write_weights(file, c.model);
    const auto open = checkpoint::open(file, said);
    CHECK(same_sizes(open.config(), c.model));
    CHECK(open.pixels().size == 32);
    CHECK(open.config().name == "bare");
    CHECK(tiny::read(open) == tiny::weights(c.model));
    CHECK_THAT(unclear(),
               Contains("checkpoint_options::activation") && Contains("checkpoint_options::head_width") && Contains(file));
    CHECK_THAT(refusal(file, {"", "tanh_gelu", 32, -1}), Contains("tanh_gelu") && Contains("quick_gelu, gelu and gelu_tanh"));
    CHECK_THAT(message([&] { open.text(); }), Contains("checkpoint_options::tokenizer"));
    write_file(dir / "merges", tiny::merges);
    checkpoint_options with = said;
    with.tokenizer = dir / "merges";
    CHECK(checkpoint::open(file, with).text().vocab_size() == tiny::vocabulary);
  }
  SECTION("a model of the sigmoid loss, by its bias") {
    auto c = tiny::vit();
    c.model.loss = sigmoid::config{};
    tiny::write_weights(file, c.model);
    const auto open = checkpoint::open(file, said);
    CHECK(open.config().loss.as<sigmoid::config>().bias == -10);
    CHECK(tiny::read(open) == tiny::weights(c.model));
  }
  SECTION("a ModifiedResNet, whose head width OpenAI fixes at 64") {
    const auto c = tiny::resnet();
    tiny::write_weights(file, c.model);
    CHECK(same_sizes(checkpoint::open(file, {"", "quick_gelu", 0, -1}).config(), c.model));
    CHECK_THAT(unclear(), Contains("checkpoint_options::activation") && !Contains("checkpoint_options::head_width"));
  }
  SECTION("a text tower whose heads no rule gives") {
    auto c = tiny::vit();
    c.model.text.width = 48;
    c.model.text.mlp_width = 192;
    c.model.text.heads = 3;
    tiny::write_weights(file, c.model);
    CHECK_THAT(refusal(file, said), Contains("width, 48, is not a multiple of 64") && Contains("config"));
  }
  SECTION("what is no model") {
    tiny::write(file, {zeros("a", {2})});
    CHECK_THAT(unclear(), Contains("no image tower that clipx knows") && Contains("visual.proj (ViT)"));
  }
  SECTION("Hugging Face's file without its folder") {
    CHECK_THAT(refusal(golden + "models/hf_eos/model.safetensors"), Contains("Hugging Face") && Contains("config.json"));
  }
  SECTION("other things in the model's place") {
    CHECK_THAT(refusal(dir / "none"), Contains("no such file or folder"));
    CHECK_THAT(refusal(golden + "models/hf_eos/config.json"), Contains("got a JSON file"));
    CHECK_THAT(refusal(dir.path.string()), Contains("open_clip_config.json or config.json") && Contains("neither"));
    write_file(file, "");
    CHECK_THAT(unclear(), Contains("not a safetensors file"));
    write_file(file, "<!DOCTYPE html>\n<html><body>Not found</body></html>");
    CHECK_THAT(unclear(), Contains("begins with \"<\", as a web page does"));
    write_file(dir / "ViT-B-32.pt", std::string("PK\3\4") + std::string(200, 'x'));
    CHECK_THAT(refusal(dir / "ViT-B-32.pt"), Contains("ViT-B-32.pt: damaged zip archive"));
    fs::copy_file(golden + "models/resnet/open_clip_config.json", dir / "open_clip_config.json");
    CHECK_THAT(refusal(dir.path.string()), Contains("no weights: expected one of open_clip_model.safetensors") &&
                                               Contains("read: ViT-B-32.pt, bare.safetensors"));
    write_file(dir / "open_clip_pytorch_model.bin", "x");
    CHECK_THAT(refusal(dir.path.string()), Contains("open_clip_pytorch_model.bin: ") && Contains("safetensors"));
    fs::remove(dir / "open_clip_pytorch_model.bin");
    write_file(dir / "open_clip_config.json", R"({"embed_dim": 8, "vision_cfg": {"timm_model_name": "swin"}, "text_cfg": {}})");
    CHECK_THAT(refusal(dir.path.string()), Contains("swin") && !Contains("no weights"));  // weights would not help
  }
}

TEST_CASE("checkpoint: all that is wrong with the tensors is one error") {
  const temporary_folder dir;
  const auto c = tiny::vit();
  tiny::write_folder(dir / "m", c, [&](std::vector<tiny::tensor>& list) {
    list.erase(std::find_if(list.begin(), list.end(), [](auto& t) { return t.name == "ln_final.bias"; }));
    for (auto& t : list) {
      if (t.name == "visual.proj") std::swap(t.shape[0], t.shape[1]);
      if (t.name == "visual.conv1.weight") t.shape = {64, 3, 64};
    }
    list.push_back(zeros("visual.ln_pre.gain", {64}));
    list.push_back(zeros("logit_bias", {}));
  });
  const auto what = refusal(dir / "m");
  CHECK_THAT(what, Contains("missing: ln_final.bias [64]"));
  CHECK_THAT(what, Contains("shape: visual.proj: expected [64, 24], got [24, 64]"));
  CHECK_THAT(what, Contains("shape: visual.conv1.weight: expected [64, 3, 8, 8], got [64, 3, 64]"));
  CHECK_THAT(what, Contains("extra: visual.ln_pre.gain [64]") && Contains("extra: logit_bias []"));
  CHECK_THAT(what, Contains("the tensors do not fit the configuration"));
  CHECK(lines(what) == 5);  // behind the first one, which names the file

  // Another model's file: the list is cut.
  fs::copy_file(golden + "models/vit_quick_gelu/open_clip_model.safetensors", dir / "m/open_clip_model.safetensors",
                fs::copy_options::overwrite_existing);
  CHECK(lines(refusal(dir / "m")) == 25);
  CHECK_THAT(refusal(dir / "m"), Contains("... and more"));
}

TEST_CASE("checkpoint: what files carry besides, and other names") {
  const temporary_folder dir;
  const auto c = tiny::resnet();
  tiny::write_folder(dir / "m", c, [](std::vector<tiny::tensor>& list) {
    for (auto& t : list) {
      if (t.name == "logit_scale") t.shape = {1};
      else if (!t.name.starts_with("visual.")) t.name = "text." + t.name;  // open_clip's CustomTextCLIP
    }
    list.push_back(zeros("visual.bn1.num_batches_tracked", {}));
    for (auto* name : {"input_resolution", "context_length", "vocab_size"}) list.push_back(zeros(name, {}));
  });
  fs::rename(dir / "m/open_clip_model.safetensors", dir / "m/model.safetensors");
  CHECK(tiny::read(checkpoint::open(dir / "m")) == tiny::weights(c.model));
  CHECK(checkpoint::open(dir / "m").text().context_length() == 16);
}

TEST_CASE("checkpoint: shards and their index") {
  const temporary_folder dir;
  const std::string source = golden + "models/hf_eos";
  const auto whole = safetensors::open(source + "/model.safetensors");
  for (auto* name : {"config.json", "preprocessor_config.json"}) fs::copy_file(fs::path(source) / name, dir.path / name);
  std::vector<tiny::tensor> shards[2];
  std::string map;
  for (std::size_t i = 0; auto& t : whole.tensors()) {
    std::vector<float> v(static_cast<std::size_t>(t.count()));
    to_float(t.type, t.data, v);
    map += cat(i ? "," : "", "\"", t.name, "\":\"", i % 2, ".safetensors\"");
    shards[i++ % 2].push_back(
        {t.name, dtype::f32, t.shape, [v](std::span<double> out) { std::copy(v.begin(), v.end(), out.begin()); }});
  }
  tiny::write(dir / "0.safetensors", shards[0]);
  tiny::write(dir / "1.safetensors", shards[1]);
  write_file(dir / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
  CHECK(tiny::read(checkpoint::open(dir.path.string())) == tiny::read(checkpoint::open(source)));
  shards[0].pop_back();
  tiny::write(dir / "0.safetensors", shards[0]);
  CHECK_THAT(refusal(dir.path.string()), Contains("is not in"));
}

TEST_CASE("checkpoint: from memory, owned and borrowed, what the folder gives") {
  const auto answers = [](const checkpoint& c) {
    const auto model = load_any<eigen<float>>(c);
    const std::vector<std::uint8_t> rgb(static_cast<std::size_t>(3 * c.pixels().size.area()), 77);
    auto rows = model.encode_pixels(rgb);
    if (c.files() && (c.files()->has("tokenizer.json") || c.files()->has("vocab.json")))
      rows.append(model.encode_text(std::vector<std::string>{"a photo of a cat", "two dogs"}));
    return std::get<0>(rows.values);
  };
  for (const auto& folder : {std::string(CLIPX_SOURCE_DIR) + "/models/default", golden + "models/hf_eos2"}) {
    if (!fs::exists(folder)) continue;
    INFO(folder);
    std::vector<named_bytes> files;
    for (auto& entry : fs::directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      const auto owner = std::make_shared<const std::string>(contents(entry.path().string()));
      files.push_back({entry.path().filename().string(), std::as_bytes(std::span(*owner)), owner});
    }
    const auto disk = checkpoint::open(folder), memory = checkpoint::open(files, {}, "m");
    CHECK(disk.config().vision == memory.config().vision);
    CHECK(memory.files()->folder_path() == nullptr);
    CHECK(answers(disk) == answers(memory));
    CHECK(choose_templates("", memory) == choose_templates("", disk));
    const temporary_folder dir;
    memory.write(dir / "copy", layout::open_clip, "f32");
    CHECK(answers(checkpoint::open(dir / "copy")) == answers(disk));
    files.push_back(files[0]);
    CHECK_THAT(message([&] { checkpoint::open(files); }), Contains("two have the name"));
  }
  // one file alone, misaligned and borrowed: its sizes are inferred, its weights copied
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const std::string weights = " " + contents(dir / "m/open_clip_model.safetensors");
  checkpoint_options o;
  o.activation = "gelu";
  const auto vision = checkpoint::open(dir / "m").config().vision.as<vit_config>();
  o.head_width = vision.width / vision.heads;
  o.tokenizer = dir / "m";
  const auto bare = checkpoint::open({{"x.safetensors", std::as_bytes(std::span(weights)).subspan(1)}}, o);
  CHECK(answers(bare) == answers(checkpoint::open(dir / "m/open_clip_model.safetensors", o)));
  CHECK(bare.text()("the cat") == checkpoint::open(dir / "m").text()("the cat"));
  const std::string config = "{}";
  CHECK_THAT(message([&] {
               checkpoint::open({{"a", std::as_bytes(std::span(config))}, {"b", std::as_bytes(std::span(config))}}, {}, "m");
             }),
             Contains("m: expected open_clip_config.json or config.json among the files in memory, found a, b"));
  CHECK_THAT(message([&] { checkpoint::open(std::vector<named_bytes>{}, {}, "m"); }),
             Contains("m: expected open_clip_config.json") && Contains("found none"));
  const std::string own = contents(dir / "m/open_clip_config.json");
  CHECK_THAT(message([&] {
               checkpoint::open({{"open_clip_config.json", std::as_bytes(std::span(own))}}, {}, "m");
             }),
             Contains("m: no weights: expected one of open_clip_model.safetensors"));
}

TEST_CASE("checkpoint: questions that an option settles") {
  const temporary_folder dir;
  const auto m = dir / "m";
  SECTION("the activation, in Hugging Face's config") {
    copy_with("hf_eos", m, "config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_new\"");
    CHECK_THAT(refusal(m), Contains("gelu_new") && Contains("checkpoint_options::activation"));
    CHECK(checkpoint::open(m, {"", "gelu", 0, -1}).config().act == activation::gelu);
    CHECK_THAT(refusal(m, {"", "swish", 0, -1}), Contains("checkpoint_options::activation: activation swish is not supported"));
    copy_with("hf_eos", m, "config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"quick_gelu\"");
    const auto two = checkpoint::open(m).config();  // each tower has its own
    CHECK((two.act == activation::gelu ? two.text_act() == activation::quick_gelu : two.text_act() == activation::gelu));
    CHECK_THAT(message([&] { checkpoint::open(m).write(dir / "written", layout::open_clip, "f32"); }),
               Contains("one activation for both towers"));
    copy_with("hf_eos", m, "config.json", "\"hidden_act\": \"gelu\"", "\"hidden_act\": \"gelu_pytorch_tanh\"");
    CHECK_THAT(checkpoint::open(m).summary(), Contains("gelu_tanh"));
    CHECK(checkpoint::open(m, {"", "gelu_tanh", 0, -1}).config().act == activation::gelu_tanh);
    CHECK(checkpoint::open(m, {"", "quick_gelu", 0, -1}).config().act == activation::quick_gelu);
  }
  SECTION("the activation, in open_clip's") {
    copy_with("vit_quick_gelu", m, "open_clip_config.json", "\"quick_gelu\": true", "\"quick_gelu\": 1");
    CHECK_THAT(refusal(m), Contains("quick_gelu: expected true or false, got 1"));
    copy_with("vit_quick_gelu", m, "open_clip_config.json", "\"quick_gelu\": true", "\"quick_gelu\": false");
    CHECK(checkpoint::open(m, {"", "quick_gelu", 0, -1}).config().act == activation::quick_gelu);
  }
  SECTION("the head width") {
    copy_with("vit_quick_gelu", m, "open_clip_config.json", "\"head_width\": 16", "\"head_width\": 64");
    CHECK_THAT(refusal(m), Contains("width 32 does not divide into 0 heads") && Contains("checkpoint_options::head_width"));
    CHECK(checkpoint::open(m, {"", "", 8, -1}).config().vision.as<vit_config>().heads == 4);
    CHECK_THAT(refusal(m, {"", "", 24, -1}),
               Contains("checkpoint_options::head_width") && Contains("24"));  // 32 / 24 would be one head
    CHECK_THAT(refusal(m, {"", "", -8, -1}), Contains("checkpoint_options::head_width"));
    CHECK_THAT(refusal(golden + "models/hf_eos", {"", "", 24, -1}), Contains("checkpoint_options::head_width"));
    CHECK_THAT(refusal(golden + "models/resnet", {"", "", 24, -1}), Contains("checkpoint_options::head_width"));
  }
  SECTION("the rule for the end of a text") {
    auto c = tiny::vit();
    c.model.text.pool = text_pool::eos;
    c.model.text.eos_id = 7;
    tiny::write_folder(m, c);
    CHECK_THAT(message([&] { checkpoint::open(m).text(); }),
               Contains("token 7") && Contains("521") && Contains("checkpoint_options::eos_id"));
    const auto settled = checkpoint::open(m, {"", "", 0, 521});
    CHECK(settled.text().eot() == 521);
    CHECK(settled.config().text.eos_id == 521);
    CHECK(checkpoint::open(m, {"", "", 0, 2}).config().text.pool == text_pool::argmax);
    // a tokenizer with an id above its end: the largest id would be the wrong place
    c.model.text.pool = text_pool::argmax;
    c.model.text.vocab_size = 8;
    tiny::write_folder(m, c);
    write_file(m + "/vocab.json", R"({"a":0,"a</w>":1,"b":2,"b</w>":3,"<start_of_text>":4,"<end_of_text>":5,"c":6})");
    write_file(m + "/merges.txt", "#version: 0.2\n");
    CHECK_THAT(message([&] { checkpoint::open(m).text(); }), Contains("largest id") && Contains("checkpoint_options::eos_id"));
    CHECK(checkpoint::open(m, {"", "", 0, 5}).text().eot() == 5);
  }
  SECTION("a tokenizer larger than the model") {
    auto c = tiny::vit();
    c.model.text.vocab_size = 100;
    tiny::write_folder(m, c);
    CHECK_THAT(message([&] { checkpoint::open(m).text(); }),
               Contains("522 tokens") && Contains("100") && Contains("checkpoint_options::tokenizer"));
  }
  SECTION("what clipx does not compute is named, all of it at once") {
    copy_with("vit_quick_gelu", m, "open_clip_config.json", "\"head_width\": 16",
              "\"head_width\": 16, \"attentional_pool\": true, \"pool_type\": \"none\", \"sparkle\": 3");
    write_file(m + "/open_clip_config.json",
               replaced(contents(m + "/open_clip_config.json"), "\"context_length\": 12", "\"context_length\": -1"));
    const auto what = refusal(m);
    CHECK_THAT(what, Contains("attentional_pool: true is not supported") && Contains("pool_type: \"none\" is not supported"));
    CHECK_THAT(what, Contains("sparkle: 3 is not known") && Contains("context_length: expected a whole number"));
  }
}

TEST_CASE("checkpoint: position tables resized as open_clip does") {
  const temporary_folder dir;
  const auto want = safetensors::open(golden + "positions.safetensors");
  const auto resized = [&](const std::string& key, const std::string& from, const std::string& to, const std::string& table) {
    INFO(key);
    copy_with("vit_quick_gelu", dir / "m", "open_clip_config.json", from, to);
    const auto larger = checkpoint::open(dir / "m"), original = checkpoint::open(golden + "models/vit_quick_gelu");
    const auto got = tiny::read(larger).at(table);
    CHECK(tiny::read(original, larger.config()).at(table) == got);  // as training starts from a model of other sizes
    const auto* t = want.find(key);
    REQUIRE(t != nullptr);
    REQUIRE(static_cast<dim>(got.size()) == t->count());
    double top = 0, worst = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      double w = 0;
      std::memcpy(&w, t->data + 8 * i, 8);
      top = std::max(top, std::abs(w));
      worst = std::max(worst, std::abs(static_cast<double>(got[i]) - w));
    }
    CHECK(worst <= 0x1.001p-24 * top);  // rounded once, to float
  };
  for (int n : {1, 2, 3, 5, 7, 8})
    resized(cat("grid.", n), "\"image_size\": 32", cat("\"image_size\": ", 8 * n), "visual.positional_embedding");
  for (int n : {5, 9, 13, 30})
    resized(cat("context.", n), "\"context_length\": 12", cat("\"context_length\": ", n), "positional_embedding");
  CHECK_THAT(message([&] { checkpoint::open(golden + "models/vit_quick_gelu").match(tiny::siglip().model); }),
             Contains("expected weights of the architecture SigLIP, got those of ViT"));
  // transformers refuses another size, and so do we in its layout
  copy_with("hf_eos", dir / "hf", "config.json", "\"image_size\": 28", "\"image_size\": 35");
  write_file(dir / "hf/preprocessor_config.json", R"({"size":35,"crop_size":35})");
  CHECK_THAT(refusal(dir / "hf"), Contains("position_embedding.weight: expected [26, 32], got [17, 32]"));
}

TEST_CASE("checkpoint: what is written reads back") {
  const temporary_folder dir;
  const auto original = tiny::vit();
  tiny::write_folder(dir / "m", original);
  const auto m = checkpoint::open(dir / "m");
  const auto weights = tiny::weights(original.model);
  SECTION("in float nothing is lost, through both layouts and back") {
    m.write(dir / "hf", layout::hf, "f32");
    CHECK(fs::exists(dir / "hf/model.safetensors"));
    const auto hf = checkpoint::open(dir / "hf");
    CHECK(tiny::read(hf) == weights);
    CHECK(hf.config().text.pool == text_pool::eos);
    CHECK(hf.config().text.eos_id == 521);
    CHECK(hf.config().vision == original.model.vision);
    CHECK(hf.config().act == activation::quick_gelu);
    CHECK(contents(dir / "hf/merges.txt") == tiny::merges);
    CHECK_THAT(contents(dir / "hf/vocab.json"), Contains("\"the</w>\":513") && Contains("\"<|endoftext|>\":521"));
    CHECK(hf.text()("the red cat") == m.text()("the red cat"));
    hf.write(dir / "back", layout::open_clip, "f32");
    const auto back = checkpoint::open(dir / "back");
    CHECK(tiny::read(back) == weights);
    CHECK(back.config().vision == original.model.vision);
    CHECK(back.pixels().mean == m.pixels().mean);
    m.write(dir / "same", layout::open_clip, "f32");
    CHECK(contents(dir / "same/open_clip_config.json") == contents(dir / "m/open_clip_config.json"));
    CHECK(contents(dir / "same/bpe_simple_vocab_16e6.txt.gz") == tiny::merges);
    CHECK(checkpoint::open(dir / "same").text()("the red cat") == m.text()("the red cat"));
  }
  SECTION("a tokenizer that an option named goes along") {
    write_file(dir / "named.txt", tiny::merges);
    tiny::write_folder(dir / "bare", original);
    fs::remove(dir / "bare/bpe_simple_vocab_16e6.txt.gz");
    checkpoint_options o;
    o.tokenizer = dir / "named.txt";
    checkpoint::open(dir / "bare", o).write(dir / "with", layout::open_clip, "f32");
    CHECK(checkpoint::open(dir / "with").text()("the red cat") == m.text()("the red cat"));
  }
  SECTION("halves round once, to nearest even; what a half can hold stays") {
    for (const std::string type : {"f16", "bf16"}) {
      INFO(type);
      m.write(dir / type, layout::open_clip, type);
      const auto half = checkpoint::open(dir / type);
      const auto rounded = tiny::read(half);
      std::size_t wrong = 0;
      for (auto& [name, v] : weights)
        for (std::size_t i = 0; i < v.size(); ++i)
          wrong += rounded.at(name)[i] != (name == "logit_scale" ? v[i]
                                           : type == "f16"       ? f16_to_float(float_to_f16(v[i]))
                                                                 : static_cast<float>(bf16(v[i])));
      CHECK(wrong == 0);
      CHECK_THAT(half.summary(), Contains("\"dtype\":\"" + type));
      half.write(dir / (type + ".again"), layout::open_clip, type);
      CHECK(contents(dir / (type + "/open_clip_model.safetensors")) ==
            contents(dir / (type + ".again/open_clip_model.safetensors")));
      half.write(dir / (type + ".hf"), layout::hf, type);
      CHECK(tiny::read(checkpoint::open(dir / (type + ".hf"))) == rounded);
      CHECK_THAT(contents(dir / (type + ".hf/config.json")), Contains(type == "f16" ? "\"float16\"" : "\"bfloat16\""));
    }
  }
  SECTION("golden folders of Hugging Face come back from open_clip's layout") {
    for (const std::string name : {"hf_eos", "hf_eos2"}) {
      const auto source = checkpoint::open(golden + "models/" + name);
      source.write(dir / name, layout::open_clip, "f32");
      const auto got = checkpoint::open(dir / name);
      CHECK(tiny::read(got) == tiny::read(source));
      CHECK(same_sizes(got.config(), source.config()));
    }
  }
  SECTION("what a layout cannot hold") {
    const auto resnet = checkpoint::open(golden + "models/resnet");
    resnet.write(dir / "r", layout::open_clip, "f32");
    CHECK(tiny::read(checkpoint::open(dir / "r")) == tiny::read(resnet));
    tiny::write_folder(dir / "tr", tiny::resnet());
    CHECK_THAT(message([&] { checkpoint::open(dir / "tr").write(dir / "rh", layout::hf, "f32"); }),
               Contains("write layout::open_clip"));
    CHECK_FALSE(fs::exists(dir / "rh"));
    CHECK_THAT(message([&] { m.write(dir / "x", layout::hf, "f8"); }), Contains("f32, f16 or bf16, got f8"));
    CHECK_THAT(message([&] { m.write(dir / "m", layout::open_clip, "f16"); }),
               Contains("give checkpoint::write(folder) another one"));
    write_file(dir / "file", "x");
    CHECK_THAT(message([&] { m.write(dir / "file", layout::open_clip, "f32"); }), Contains("cannot be created as a folder"));
  }
}

TEST_CASE("checkpoint: a full disk leaves the old files, or no model") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  auto other = tiny::vit();
  other.model.embed_dim = 32;
  tiny::write_folder(dir / "other", other);
  const auto m = checkpoint::open(dir / "m");
  checkpoint::open(dir / "other").write(dir / "old", layout::open_clip, "f32");
  const auto before = contents(dir / "old/open_clip_model.safetensors");

  struct rlimit old {};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &old) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { 65536, old.rlim_max };
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
  const auto into_old = message([&] { m.write(dir / "old", layout::open_clip, "f32"); });
  const auto into_new = message([&] { m.write(dir / "new", layout::open_clip, "f32"); });
  REQUIRE(::setrlimit(RLIMIT_FSIZE, &old) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK_THAT(into_old, Contains("open_clip_model.safetensors") && Contains("cannot be written"));
  CHECK_THAT(into_new, Contains("cannot be written"));
  CHECK(contents(dir / "old/open_clip_model.safetensors") == before);
  CHECK(tiny::read(checkpoint::open(dir / "old")) == tiny::weights(other.model));
  CHECK((!fs::exists(dir / "new") || fs::is_empty(dir / "new")));
}

}  // namespace test_checkpoint
