// What a trainer and write_model refuse: configurations that do not agree with themselves or with the model.
#include <clipx/clipx.hpp>
#include <clipx/eigen.hpp>
#include <clipx/train/state.hpp>

#include "catch.hpp"
#include "tiny_model.hpp"

namespace test_train_files {

using namespace clipx;

namespace {
using device_t = eigen<float>;

tokenizer words(const temporary_folder& dir) {
  write_file(dir / "merges.txt", tiny::merges);
  return tokenizer::from_merges(dir / "merges.txt", tiny::vit().text);
}
bool empty(const std::string& folder) { return std::filesystem::is_empty(folder); }
}  // namespace

TEST_CASE("trainer: one source of sizes") {
  device_t d;
  const auto refused = [&](const checkpoint_config& c) { return message([&] { trainer<vit, device_t>(d, c, {}); }); };
  CHECK(refused(tiny::vit()) == "no error");
  auto c = tiny::vit();
  c.pixels.size = 48;
  CHECK_THAT(refused(c), Contains("48 pixels") && Contains("32"));
  c = tiny::vit();
  c.text.context_length = 77;
  CHECK_THAT(refused(c), Contains("77 tokens") && Contains("16"));
  CHECK_THAT(refused(tiny::resnet()), Contains("expected ViT") && Contains("ModifiedResNet"));
  c = tiny::vit();
  c.model.loss = sigmoid::config{};
  CHECK_THAT(refused(c), Contains("expected contrastive") && Contains("sigmoid"));
  c = tiny::vit();
  c.model.vision = {};
  CHECK_THAT(refused(c), Contains("names no architecture"));
}

TEST_CASE("write_model: any model, but only what its configuration describes") {
  const temporary_folder dir, out;
  const auto text = words(dir);
  device_t d;
  const auto config = tiny::vit();
  trainable<vit, device_t> model(d, config.model);
  const auto refused = [&](const checkpoint_config& c) { return message([&] { write_model(out.path.string(), model, c, text); }); };
  auto other = config;
  other.model.vision = vit_config{32, 8, 64, 2, 128, 3};
  CHECK_THAT(refused(other), Contains("visual.transformer.resblocks.2"));
  other = config;
  other.model.embed_dim = 25;
  CHECK_THAT(refused(other), Contains("text_projection [64, 25]") && Contains("[64, 24]"));
  other = config;
  other.model.loss = sigmoid::config{};
  CHECK_THAT(refused(other), Contains("logit_bias"));
  other = config;
  other.pixels.size = 64;
  CHECK_THAT(refused(other), Contains("64 pixels"));
  CHECK(empty(out.path.string()));
  CHECK(refused(config) == "no error");
  CHECK(tiny::read(checkpoint::open(out.path.string())).size() == parameter_shapes(config.model).size());

  auto larger = config;
  larger.model.text.vocab_size += 1;
  trainable<vit, device_t> misfit(d, larger.model);
  CHECK_THAT(message([&] { write_model(out.path.string(), misfit, larger, text); }), Contains("523 tokens, the tokenizer 522"));
}

}  // namespace test_train_files
