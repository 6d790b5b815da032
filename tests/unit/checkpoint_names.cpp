// Checkpoints: names of tensors as open_clip and transformers take them, what is damaged, folders that hold another model.
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/eigen.hpp>
#include <limits>

#include "catch.hpp"
#include "tiny_model.hpp"

namespace test_checkpoint_names {

using namespace clipx;
namespace fs = std::filesystem;

namespace {

const std::string golden = std::string(CLIPX_SOURCE_DIR) + "/tests/golden/models/";

std::string refusal(const std::string& path, const checkpoint_options& o = {}) {
  return message([&] { checkpoint::open(path, o); });
}
/// What is put before every name.
tiny::edit_list before(const std::string& prefix) {
  return [=](std::vector<tiny::tensor>& list) {
    for (auto& t : list) t.name = prefix + t.name;
  };
}
tiny::tensor zeros(const std::string& name, std::vector<dim> shape) {
  return {name, dtype::f32, std::move(shape), [](std::span<double> out) { std::fill(out.begin(), out.end(), 0.0); }};
}
/// A golden folder of transformers, with its weights under other names and more tensors.
void write_hf(const std::string& folder, const std::string& prefix, std::vector<tiny::tensor> more = {}) {
  fs::create_directories(folder);
  for (auto* name : {"config.json", "preprocessor_config.json"})
    fs::copy_file(golden + "hf_eos/" + name, fs::path(folder) / name, fs::copy_options::overwrite_existing);
  const auto source = safetensors::open(golden + "hf_eos/model.safetensors");
  for (auto& t : source.tensors()) {
    std::vector<float> v(static_cast<std::size_t>(t.count()));
    to_float(t.type, t.data, v);
    more.push_back(
        {prefix + t.name, dtype::f32, t.shape, [v](std::span<double> out) { std::copy(v.begin(), v.end(), out.begin()); }});
  }
  tiny::write(folder + "/model.safetensors", more);
}
/// One value of one tensor is another.
tiny::edit_list spoiled(const std::string& name, std::size_t at, double value) {
  return [=](std::vector<tiny::tensor>& list) {
    for (auto& t : list)
      if (t.name == name)
        t.values = [=, own = t.values](std::span<double> out) {
          own(out);
          out[at] = value;
        };
  };
}

}  // namespace

TEST_CASE("checkpoint: names under module. are those of a model under DataParallel, as open_clip reads them") {
  const temporary_folder dir;
  const auto c = tiny::vit();
  tiny::write_folder(dir / "m", c, before("module."));
  const auto m = checkpoint::open(dir / "m");
  CHECK(tiny::read(m) == tiny::weights(c.model));
  CHECK(m.warnings().empty());
  CHECK(tiny::read(checkpoint::open(dir / "m/open_clip_model.safetensors", {"", "quick_gelu", 32, -1})) == tiny::weights(c.model));
  m.write(dir / "copy", layout::open_clip, "f32");
  CHECK(contents(dir / "copy/open_clip_model.safetensors").find("module.") == std::string::npos);
  tiny::write_folder(dir / "m", c, [](std::vector<tiny::tensor>& list) {
    before("module.")(list);
    list.push_back(zeros("step", {}));
  });
  CHECK_THAT(refusal(dir / "m"), Contains("the model's names begin with \"module.\"") && Contains("model.module.state_dict()"));
  tiny::write_folder(dir / "m", c, [](std::vector<tiny::tensor>& list) {
    before("module.")(list);
    list.erase(list.begin());
  });
  CHECK_THAT(refusal(dir / "m"), Contains("missing: module.logit_scale []"));
}

TEST_CASE("checkpoint: names that neither library takes are refused by their kind, in one line") {
  const temporary_folder dir;
  const auto refused = [&](const std::string& prefix) {
    tiny::write_folder(dir / "m", tiny::vit(), before(prefix));
    const auto folder = refusal(dir / "m");
    CHECK(folder.find('\n') == std::string::npos);
    CHECK(refusal(dir / "m/open_clip_model.safetensors", {"", "quick_gelu", 32, -1}) == folder);
    write_hf(dir / "hf", prefix);
    CHECK(refusal(dir / "hf").substr(refusal(dir / "hf").find(".safetensors:")) == folder.substr(folder.find(".safetensors:")));
    return folder;
  };
  CHECK_THAT(refused("_orig_mod."), Contains("every name begins with \"_orig_mod.\": a model compiled by torch.compile; save "
                                             "model._orig_mod.state_dict()"));
  CHECK_THAT(refused("module._orig_mod."), Contains("torch.compile"));
  CHECK_THAT(refused("model."), Contains("every name begins with \"model.\"") && Contains("that.model.state_dict()"));
  CHECK_THAT(refused("state_dict."), Contains("checkpoint[\"state_dict\"]"));
  CHECK_THAT(refused("state_dict.module."), Contains("checkpoint[\"state_dict\"]"));
  CHECK_THAT(refused("base_model.model."), Contains("PEFT") && Contains("merge_and_unload"));
  CHECK_THAT(refused("_forward_module."), Contains("Lightning Fabric"));
  CHECK_THAT(refused("net.clip_model."), Contains("\"net.clip_model.\": a model that is a part of another"));
  write_hf(dir / "hf", "module.");
  CHECK_THAT(refusal(dir / "hf"), Contains("DataParallel"));
  write_hf(dir / "hf", "", {zeros("text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight", {2, 2})});
  CHECK_THAT(refusal(dir / "hf"), Contains("LoRA adapter"));
  tiny::write_folder(dir / "m", tiny::vit(), [](std::vector<tiny::tensor>& list) {
    for (auto& t : list)
      if (t.name.starts_with("visual.")) t.name.insert(7, "_orig_mod.");
  });
  CHECK_THAT(refusal(dir / "m"), Contains("a part of the model was compiled by torch.compile"));
}

TEST_CASE("checkpoint: Hugging Face's names under clip., and tensors that are not the model's") {
  const temporary_folder dir;
  const auto whole = tiny::read(checkpoint::open(golden + "hf_eos"));
  write_hf(dir / "hf", "clip.", {zeros("classifier.weight", {2, 24}), zeros("classifier.bias", {2})});
  const auto inside = checkpoint::open(dir / "hf");
  CHECK(tiny::read(inside) == whole);
  REQUIRE(inside.warnings().size() == 1);
  CHECK_THAT(inside.warnings()[0], Contains("2 tensors are not of the model and are not used: classifier.bias, classifier.weight"));
  write_hf(dir / "more", "", {zeros("text_model.embeddings.position_ids", {1, 12}), zeros("head", {1})});
  const auto more = checkpoint::open(dir / "more");
  CHECK(tiny::read(more) == whole);
  REQUIRE(more.warnings().size() == 1);
  CHECK_THAT(more.warnings()[0], Contains("1 tensors") && Contains("head") && !Contains("position_ids"));
}

TEST_CASE("checkpoint: configurations of both layouts in one folder") {
  const temporary_folder dir;
  const auto own = tiny::vit();
  tiny::write_folder(dir / "own", own);
  fs::copy_file(golden + "hf_eos/config.json", dir / "own/config.json");
  const auto as_own = checkpoint::open(dir / "own");
  CHECK(tiny::read(as_own) == tiny::weights(own.model));
  REQUIRE(as_own.warnings().size() == 1);
  CHECK_THAT(as_own.warnings()[0], Contains("reading open_clip_config.json") && Contains("open_clip_model.safetensors"));
  write_hf(dir / "hf", "");
  write_file(dir / "hf/open_clip_config.json", open_clip_config_text(own));
  const auto as_hf = checkpoint::open(dir / "hf");
  CHECK(as_hf.settings().keys == layout::hf);
  CHECK(tiny::read(as_hf) == tiny::read(checkpoint::open(golden + "hf_eos")));
  REQUIRE(as_hf.warnings().size() == 1);
  CHECK_THAT(as_hf.warnings()[0], Contains("reading config.json"));
  fs::remove(dir / "hf/config.json");
  CHECK_THAT(refusal(dir / "hf"), Contains("these are Hugging Face's names, which need config.json"));
  fs::remove(dir / "own/open_clip_config.json");
  fs::rename(dir / "own/open_clip_model.safetensors", dir / "own/model.safetensors");
  CHECK_THAT(refusal(dir / "own"), Contains("these are open_clip's names, which need open_clip_config.json"));
}

TEST_CASE("checkpoint: weights that are no numbers are named") {
  const temporary_folder dir;
  eigen<float> device;
  eigen<double> wide;
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const auto refused = [&](const std::string& name, std::size_t at, double value, dtype type = dtype::f32) {
    tiny::write_folder(dir / "m", tiny::vit(), [&](std::vector<tiny::tensor>& list) {
      spoiled(name, at, value)(list);
      for (auto& t : list) t.type = type;
    });
    const auto loaded = message([&] { load<vit>(device, checkpoint::open(dir / "m")); });
    CHECK(message([&] { load<vit>(wide, checkpoint::open(dir / "m")); }) == loaded);  // converted there, mapped here
    CHECK(message([&] { checkpoint::open(dir / "m").write(dir / "copy", layout::hf, "f32"); }) == loaded);
    CHECK_FALSE(fs::exists(dir / "copy/model.safetensors"));
    return loaded;
  };
  CHECK_THAT(refused("visual.proj", 1535, nan), Contains("tensor \"visual.proj\": value 1535 is nan") && Contains("finite"));
  CHECK_THAT(refused("token_embedding.weight", 0, inf), Contains("tensor \"token_embedding.weight\": value 0 is inf"));
  CHECK_THAT(refused("ln_final.bias", 63, -inf), Contains("value 63 is -inf"));
  CHECK_THAT(refused("ln_final.bias", 63, nan, dtype::bf16), Contains("tensor \"ln_final.bias\": value 63 is nan"));
  CHECK_THAT(refused("ln_final.bias", 63, nan, dtype::f16), Contains("tensor \"ln_final.bias\": value 63 is nan"));
  CHECK_THAT(refused("ln_final.bias", 63, 1e300, dtype::f64), Contains("tensor \"ln_final.bias\": value 63 is inf"));
  CHECK_THAT(refused("logit_scale", 0, nan), Contains("tensor \"logit_scale\": value 0 is nan"));
  tiny::write_folder(dir / "m", tiny::vit(), spoiled("logit_scale", 0, 800));
  CHECK_THAT(message([&] { load<vit>(device, checkpoint::open(dir / "m")); }),
             Contains("the loss's parameters give no probabilities: logit_scale 800"));
  // finite weights whose sums are not
  tiny::write_folder(dir / "m", tiny::vit(), [](std::vector<tiny::tensor>& list) {
    for (auto& t : list)
      if (t.name == "text_projection" || t.name == "visual.proj")
        t.values = [](auto out) { std::fill(out.begin(), out.end(), 3e38); };
  });
  const auto huge = load<vit>(device, checkpoint::open(dir / "m"));
  CHECK_THAT(message([&] { huge.encode_text({"cat", "the cat"}); }), Contains("the embedding of text 0 of the call is not finite"));
  const std::vector<std::uint8_t> pixels(2 * 3 * 32 * 32, 200);
  CHECK_THAT(message([&] { huge.encode_pixels(pixels); }), Contains("the embedding of image 0 of the call is not finite"));
}

TEST_CASE("checkpoint: a value that half precision cannot hold is refused, not made infinite") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m", tiny::vit(), spoiled("visual.proj", 5, 65519));  // rounds to 65504, the largest
  checkpoint::open(dir / "m").write(dir / "fits", layout::open_clip, "f16");
  CHECK(tiny::read(checkpoint::open(dir / "fits")).at("visual.proj")[5] == 65504);
  tiny::write_folder(dir / "m", tiny::vit(), spoiled("visual.proj", 5, -65520));
  CHECK_THAT(message([&] { checkpoint::open(dir / "m").write(dir / "f16", layout::open_clip, "f16"); }),
             Contains("tensor \"visual.proj\": value 5 is -65520, which F16 cannot hold (at most 65504): BF16 and F32 can"));
  CHECK_FALSE(fs::exists(dir / "f16/open_clip_model.safetensors"));
  checkpoint::open(dir / "m").write(dir / "bf16", layout::open_clip, "bf16");
  CHECK(tiny::read(checkpoint::open(dir / "bf16")).at("visual.proj")[5] == -65536);
  tiny::write_folder(dir / "m", tiny::vit(), spoiled("visual.proj", 5, 3.4e38));
  CHECK_THAT(message([&] { checkpoint::open(dir / "m").write(dir / "b", layout::open_clip, "bf16"); }),
             Contains("tensor \"visual.proj\": value 5 is 3.4") && Contains("BF16 cannot hold"));
}

TEST_CASE("checkpoint: nothing is written over another model, nor over what is read") {
  const temporary_folder dir;
  tiny::write_folder(dir / "m");
  const auto m = checkpoint::open(dir / "m");
  const auto written = [&](const std::string& to, layout keys) { return message([&] { m.write(dir / to, keys, "f32"); }); };
  SECTION("files of another layout, tokenizer or template would win over the new ones") {
    m.write(dir / "out", layout::hf, "f32");
    const auto before = contents(dir / "out/model.safetensors");
    CHECK_THAT(written("out", layout::open_clip), Contains("holds config.json, merges.txt, model.safetensors, "
                                                           "preprocessor_config.json, vocab.json, which would stay") &&
                                                      Contains("checkpoint::write(folder)"));
    CHECK_FALSE(fs::exists(dir / "out/open_clip_model.safetensors"));
    CHECK(contents(dir / "out/model.safetensors") == before);
    m.write(dir / "out", layout::hf, "f16");  // all of it is replaced
    CHECK_THAT(checkpoint::open(dir / "out").summary(), Contains("\"dtype\":\"f16"));
    for (const std::string name : {"templates.txt", "tokenizer.json", "model.safetensors.index.json", "processor_config.json"}) {
      write_file(dir / ("out/" + name), "x");
      CHECK_THAT(written("out", layout::hf), Contains("holds " + name + ", which would stay"));
      fs::remove(dir / ("out/" + name));
    }
    write_file(dir / "out/README.md", "of no reader");
    CHECK(written("out", layout::hf) == "no error");
  }
  SECTION("links to what is read") {
    const auto before = contents(dir / "m/open_clip_model.safetensors");
    fs::create_directory(dir / "soft");
    fs::create_symlink(dir / "m/open_clip_model.safetensors", dir / "soft/open_clip_model.safetensors");
    CHECK_THAT(written("soft", layout::open_clip),
               Contains("soft/open_clip_model.safetensors: is " + dir / "m/open_clip_model") && Contains("which is read"));
    fs::create_directory(dir / "hard");
    fs::create_hard_link(dir / "m/open_clip_config.json", dir / "hard/open_clip_config.json");
    CHECK_THAT(written("hard", layout::open_clip), Contains("hard/open_clip_config.json: is"));
    const auto bare = checkpoint::open(dir / "m/open_clip_model.safetensors", {dir / "m", "quick_gelu", 32, -1});
    fs::create_directory(dir / "alone");
    fs::rename(dir / "m/open_clip_model.safetensors", dir / "alone/open_clip_model.safetensors");
    const auto moved = checkpoint::open(dir / "alone/open_clip_model.safetensors", {dir / "m", "quick_gelu", 32, -1});
    CHECK_THAT(message([&] { moved.write(dir / "alone", layout::open_clip, "f32"); }), Contains("which is read"));
    CHECK(contents(dir / "alone/open_clip_model.safetensors") == before);
  }
}

}  // namespace test_checkpoint_names
