// clipx bench: every arm in its row, agreement with the reference, usage.
#ifdef CLIPX_PROGRAM
#include "cli.hpp"

namespace test_cli_bench {

using namespace program;

namespace {
json facts(const workplace& w, list more) {
  more.insert(more.begin(), {"bench", "--json", "--runs", "2", "--seconds", "1"});
  const auto r = w.run(w.with_model(more));
  INFO(r.err);
  CHECK(r.code == 0);
  CHECK(r.err.empty());
  REQUIRE(r.lines().size() == 1);
  return json::parse(r.out);
}
}  // namespace

TEST_CASE("clipx bench") {
  const workplace w;
  SECTION("every arm has its row") {
    const auto all = facts(w, {"--batch", "1,3"});
    CHECK(all["reference"] == "eigen-f64");
    CHECK(all["baseline"] == "eigen-f32");
    CHECK(all["machine"]["threads"] > 0);
    CHECK(all["model"]["architecture"] == "ViT");
    const list names{"eigen-f32", "eigen-f64", "cpu-f32", "cpu-bf16", "cuda-f32", "cuda-bf16"};
    REQUIRE(all["arms"].size() == names.size());
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto& a = all["arms"][i];
      INFO(a.dump());
      CHECK(a["arm"] == names[i]);
      CHECK_FALSE(a.contains("failed"));
      if (a.contains("absent")) {  // never a number
        CHECK(a.size() == 3);
        CHECK(a["work"].empty());
        CHECK(names[i].starts_with("c"));
        if (names[i].starts_with("cuda")) CHECK_THAT(a["absent"].get<std::string>(), Catch::Matchers::StartsWith("no device: "));
        continue;
      }
      const bool half = names[i].ends_with("bf16"), wide = names[i].ends_with("f64");
      CHECK(a["load_ms"] > 0.0);
      CHECK(a["host_peak_mib"] > 1.0);
      CHECK(a["activations_peak_mib"] > 0.0);
      CHECK(a.contains("device_mib") == names[i].starts_with("cuda"));
      const double weights = all["arms"][0]["weights_mib"], times = a["weights_mib"].get<double>() / weights;
      // The token table, F32 in the file, is read there by a model of another type. The norms of a bf16 model stay float.
      const double table = 4.0 * static_cast<double>(tiny::vocabulary) * 64 / 0x1p20 / weights;
      if (half) CHECK((times >= 0.5 + table / 2 && times <= 0.9));
      else CHECK(std::abs(times - (wide ? 2 - table : 1)) < 1e-9);
      REQUIRE(a["work"].size() == 3);
      const std::pair<const char*, int> works[]{{"image", 1}, {"image", 3}, {"text", 16}};
      for (std::size_t k = 0; k < 3; ++k) {
        const auto& work = a["work"][k];
        CHECK(work["tower"] == works[k].first);
        CHECK(work["items"] == works[k].second);
        CHECK(work["first_ms"] > 0.0);
        CHECK(work["min_ms"] > 0.0);
        CHECK(work["median_ms"] >= work["min_ms"]);
        CHECK(work["runs"] >= 1);
        CHECK(work["runs"] <= 2);
        CHECK(work["ratio"] > 0.0);
        CHECK(work["cosine"] >= (half ? 0.999 : 1 - 1e-6));
        CHECK(work["max_abs"] <= (half ? 0.05 : 1e-5));
        if (wide) CHECK(work["max_abs"] == 0.0);
        if (half) CHECK(work["max_abs"] > 0.0);
      }
    }
    CHECK(all["arms"][0]["work"][2]["ratio"] == 1.0);
  }
  SECTION("own images and texts, arms in the order asked for, and the table") {
    write_file(w.dir / "texts", "the cat\nred\n");
    const list more{"--texts", w.dir / "texts", "--arms", "eigen-f64,eigen-f32", "--baseline", "eigen-f32", "--batch",
                    "5",       w.dir / "p"};
    const auto all = facts(w, more);
    REQUIRE(all["arms"].size() == 2);
    CHECK(all["arms"][0]["arm"] == "eigen-f64");
    CHECK(all["baseline"] == "eigen-f32");
    CHECK(all["arms"][1]["work"][0]["ratio"] == 1.0);
    CHECK(all["arms"][1]["work"][1]["items"] == 2);
    list arguments = w.with_model({"bench", "--runs", "1"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto table = w.run(arguments);
    CHECK(table.code == 0);
    CHECK(table.err.empty());
    CHECK_THAT(table.out, Contains("image tower, 5 images") && Contains("text tower, 2 texts") && Contains("cosine"));
  }
  SECTION("usage and bad input") {
    for (const list& wrong : {list{"--arms", "gpu"}, list{"--arms", "eigen-f16"}, list{"--batch", "0"}, list{"--batch", "a"},
                              list{"--runs", "0"}, list{"--seconds", "-1"}, list{"--baseline", "x"}, list{"--batch-size", "1"},
                              list{"--arms", "eigen-f32", "--baseline", "cpu-f32"}, list{"--arms", "eigen-f32", "--device", "0"},
                              list{"--arms", "eigen-f32", "--tf32"}, list{"--backend", "cpu"}}) {
      list arguments = w.with_model({"bench"});
      arguments.insert(arguments.end(), wrong.begin(), wrong.end());
      const auto r = w.run(arguments);
      INFO(wrong[0] << " " << wrong[1]);
      CHECK(r.code == 2);
      CHECK(r.out.empty());
      CHECK_FALSE(r.err.empty());
    }
    CHECK_THAT(w.refusal(w.with_model({"bench", w.broken})), Contains("broken.png"));
    CHECK_THAT(w.refusal(w.with_model({"bench", "--texts", w.dir / "none"})), Contains("none"));
    CHECK_THAT(w.refusal({"bench", "--model", w.dir / "none"}), Contains("none"));
  }
}

#ifdef CLIPX_EMULATED
TEST_CASE("clipx --backend cuda, on the emulated GPU") {
  workplace w;
  w.program = CLIPX_EMULATED;
  CHECK_THAT(w.run({"--version", "-v"}).out, Contains("cuda: emulated"));
  const list labels{"cat", "the red cat", "of"};
  for (const std::string precision : {"f32", "bf16"}) {
    const auto r = w.run(w.with_model({"classify", "--json", "--labels", "cat,the red cat,of", "--backend", "cuda", "--precision",
                                       precision, "--autotune", "--device", "0", w.images[1]}));
    INFO(r.err);
    REQUIRE(r.code == 0);
    const auto want = reference::probabilities(w.model, w.images[1], labels);
    const auto answer = json::parse(r.out);
    for (auto& l : answer["labels"]) {
      const auto at = std::find(labels.begin(), labels.end(), l["label"].get<std::string>());
      REQUIRE(at != labels.end());
      CHECK(std::abs(l["p"].get<double>() - want[static_cast<std::size_t>(at - labels.begin())]) <=
            (precision == "f32" ? 1e-5 : 0.05));
    }
  }
  CHECK_THAT(w.refusal(w.with_model({"classify", "--labels", "a", w.images[0], "--backend", "cuda", "--device", "7"})),
             Contains("device 7"));
  const auto all = facts(w, {"--arms", "eigen-f64,cuda-f32,cuda-bf16", "--batch", "2"});
  REQUIRE(all["arms"].size() == 3);
  for (std::size_t i = 1; i < 3; ++i) {
    const auto& a = all["arms"][i];
    INFO(a.dump());
    CHECK(a["device_mib"] >= a["weights_mib"]);
    REQUIRE(a["work"].size() == 2);
    for (auto& work : a["work"]) CHECK(work["cosine"] >= (i == 1 ? 1 - 1e-6 : 0.999));
  }
}
#endif

}  // namespace test_cli_bench
#endif
