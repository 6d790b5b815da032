// A training run on pairs of noise, with a trainer that counts what is asked of it, for tests.
#pragma once
#include <clipx/eigen.hpp>
#include <clipx/train/any_trainer_of.hpp>
#include <clipx/train/run.hpp>

#include "catch.hpp"
#include "tar.hpp"
#include "tiny_model.hpp"

namespace tiny_run {

using namespace clipx;
namespace fs = std::filesystem;
using list = std::vector<std::string>;

inline tokenizer tiny_text() { return tokenizer::from_merges_bytes(tiny::merges, tokenizer_options::openai()); }

/// Pairs of noise in one shard, and a run on them.
struct workplace {
  temporary_folder dir;
  run_options options;
  run_settings settings{{"lr", "0.001"}, {"model", R"({"name": "tiny", "layers": [1, 2]})"}};

  explicit workplace(int pairs = 20) {
    write_file(dir / "s.tar", shard_of(pairs) + end_of_tar);
    auto& d = options.data;
    d.data = {dir / "s.tar"}, d.batch = 4, d.epochs = 2, d.threads = 2, d.shuffle = 8, d.text = tiny_text(),
    d.text_side = tiny::vit().model.text;
    d.preprocess.size = 32;
    options.folder = dir / "run";
    options.title = "a run";
    options.log_every = 4;
  }
  /// `damaged`: so many of them, from the first, are no images.
  static std::string shard_of(int pairs, int damaged = 0) {
    std::string tar;
    for (int i = 0; i < pairs; ++i) {
      std::string ppm = i < damaged ? "P6 no image" : "P6 12 9 255\n";
      for (int p = 0; p < 12 * 9 * 3; ++p) ppm += static_cast<char>(i * 31 + p * (1 + i % 5));
      tar += member(cat(i, ".jpg"), ppm) + member(cat(i, ".txt"), cat("the red cat ", i));
    }
    return tar;
  }
  list checkpoints() const {
    list out;
    for (auto& entry : fs::directory_iterator(dir / "run/checkpoints")) out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }
  std::string metrics() const { return contents(dir / "run/metrics.jsonl"); }
  std::string model() const { return contents(dir / "run/model/open_clip_model.safetensors"); }
};

/// Counts what is asked of it; its losses are given.
struct fake_trainer final : any_trainer {
  std::vector<double> given;  // of step i; 1 / step after the last
  dim done = 0, fetches = 0, fetched = 0, scales = 0, kept = 100;
  std::vector<dim> saved;
  bool disk_full = false;
  dim texts = 0;

  void step(std::span<const std::uint8_t> rgb, const packed_texts& batch) override {
    CHECK(static_cast<dim>(rgb.size()) == batch.count() * 32 * 32 * 3);
    texts += batch.count();
    ++done;
  }
  double loss_of(dim step) const {
    return step <= static_cast<dim>(given.size()) ? given[static_cast<std::size_t>(step - 1)] : 1.0 / static_cast<double>(step);
  }
  void losses(std::span<double> out) override {
    ++fetches;
    fetched += static_cast<dim>(out.size());
    CHECK(static_cast<dim>(out.size()) <= kept);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = loss_of(done - static_cast<dim>(out.size() - i) + 1);
  }
  dim losses_kept() const override { return kept; }
  scoring score() override {
    ++scales;
    return {loss_policy::of<contrastive>(), {0}};
  }
  double learning_rate() const override { return 0.5; }
  dim count() const override { return done; }
  dim parameters() override { return 7; }
  void save(const std::string& path, const state_facts&) override {
    expect(!disk_full, "no space left");
    saved.push_back(done);
    write_file(path, "state");
  }
  state_facts restore(const std::string&) override { return {}; }
  void start_from(const checkpoint&) override {}
  void write_model(const std::string& folder, const tokenizer&) override { write_file(folder + "/model", "m"); }
  any_model trained(checkpoint) override { return any_model(nullptr); }
  pair_metrics evaluate(const loader_config&, dim, dim, observer&) override { return {}; }
};

struct watcher : run_observer {
  dim stop_at = -1, seen = 0;
  bool asks = false;
  list warnings;
  std::vector<double> losses;
  bool cancelled() override { return seen == stop_at; }
  void stepped(run_progress& p) override {
    seen = p.step();
    CHECK(p.steps() == 10);
    CHECK(p.share_waited() <= 1);
    if (!asks) return;
    losses.push_back(p.loss());
    CHECK(p.scale() == 1);
  }
  void warning(const std::string& message) override { warnings.push_back(message); }
};

/// The numbers of a name in lines of metrics, in order.
inline std::vector<double> values_of(const std::string& metrics, const std::string& name) {
  std::vector<double> out;
  const auto key = cat("\"", name, "\": ");
  for (std::size_t at = 0; (at = metrics.find(key, at)) != std::string::npos;) {
    at += key.size();
    out.push_back(std::stod(metrics.substr(at)));
  }
  return out;
}

inline checkpoint_config tiny_config() {
  auto c = tiny::vit();
  c.text.context_length = c.model.text.context_length;
  return c;
}
inline trainer_options tiny_options() {
  trainer_options o;
  o.seed = 3;
  o.schedule = {1e-3, 2, 10};
  o.optimizer.average = 0.5;
  return o;
}
inline std::unique_ptr<any_trainer> tiny_trainer() { return make_any_trainer<eigen<float>>(tiny_config(), tiny_options()); }

}  // namespace tiny_run
