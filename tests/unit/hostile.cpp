// Files that are well-formed and ask for too much, or for two things at once: one clear error, no memory for what they say.
#include <clipx/clipx.hpp>

#include "catch.hpp"
#include "temporary.hpp"

namespace test_hostile {

using namespace clipx;

namespace {

std::string open_clip_config(const std::string& vision, const std::string& text) {
  return cat(R"({"embed_dim": 64, "vision_cfg": {"image_size": 224, "layers": 2, "width": 64, "patch_size": 32)", vision,
             R"(}, "text_cfg": {"width": 64, "heads": 1, "layers": 2)", text, "}}");
}

}  // namespace

TEST_CASE("hostile: sizes that a config may not have") {
  const auto refused = [](const std::string& vision, const std::string& text) {
    return message([&] { read_open_clip_config(open_clip_config(vision, text), "c.json"); });
  };
  CHECK(refused("", "") == "no error");
  for (auto* ratio : {"1e300", "-1", "0", "1025", "0.0001"})
    for (bool image : {true, false}) {
      const auto field = cat(", \"mlp_ratio\": ", ratio);
      CHECK_THAT(refused(image ? field : "", image ? "" : field), Contains("c.json") && (Contains("mlp_ratio") || Contains("MLP")));
    }
  CHECK_THAT(refused(R"(, "width": 16777217)", ""), Contains("appears twice"));
  CHECK_THAT(message([] {
               read_open_clip_config(R"({"embed_dim":64,"vision_cfg":{"image_size":16384,"patch_size":1},"text_cfg":{}})", "c");
             }),
             Contains("16384 patches a side"));
  CHECK_THAT(message([&] {
               read_open_clip_config(R"({"embed_dim":64,"init_logit_bias":"-10","vision_cfg":{"patch_size":32},"text_cfg":{}})",
                                     "c");
             }),
             Contains(R"(init_logit_bias: expected a number, got "-10")"));
  CHECK(read_open_clip_config(open_clip_config("", R"(, "pool_type": "eos", "eos_id": 1e300)"), "c").model.text.eos_id == -1);
  CHECK(read_open_clip_config(open_clip_config("", R"(, "pool_type": "eos", "eos_id": 7)"), "c").model.text.eos_id == 7);
}

TEST_CASE("hostile: JSON of millions of values") {
  std::string zeros = "{\"a\":[0";
  for (int i = 0; i < 2'000'000; ++i) zeros += ",0";
  zeros += "]}";
  CHECK_THAT(message([&] { read_hf_config(zeros, {}, "c.json"); }), Contains("c.json: JSON of more than 2,000,000 values"));
}

TEST_CASE("hostile: more added tokens than any tokenizer has") {
  std::string json = R"({"model":{"end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[]},"added_tokens":[)";
  for (int i = 0; i < 10'001; ++i) json += cat(i ? "," : "", R"({"id":)", i + 1, R"(,"content":"<)", i, R"(>"})");
  CHECK_THAT(message([&] { tokenizer::from_json_bytes(json + "]}", tokenizer_options::hf(), "t.json"); }),
             Contains("t.json") && Contains("10,000"));
}

TEST_CASE("hostile: a line as an image") {
  image line;
  line.mode = pixel_mode::gray;
  line.width = longest_side + 1;
  line.height = 1;
  line.data.resize(static_cast<std::size_t>(line.width));
  preprocess_config c;
  for (auto way : {resize_mode::squash, resize_mode::shortest}) {
    c.resize = way;
    CHECK_THAT(message([&] { to_pixels(line, c); }), Contains("1048577 x 1"));
  }
}

}  // namespace test_hostile
