// A training run in a folder: what it asks of a trainer and when, what it leaves on disk, and how it goes on.
#include <clipx/eigen.hpp>
#include <clipx/io/lock.hpp>
#include <clipx/train/any_trainer_of.hpp>
#include <clipx/train/run.hpp>
#include <limits>

#include "catch.hpp"
#include "tar.hpp"
#include "tiny_model.hpp"

namespace test_train_run {

using namespace clipx;
namespace fs = std::filesystem;
using list = std::vector<std::string>;

namespace {

tokenizer tiny_text() { return tokenizer::from_merges_bytes(tiny::merges, tokenizer_options::openai()); }

/// Pairs of noise in one shard, and a run on them.
struct workplace {
  temporary_folder dir;
  run_options options;
  run_settings settings{{"lr", "0.001"}, {"model", R"({"name": "tiny", "layers": [1, 2]})"}};

  explicit workplace(int pairs = 20) {
    std::string tar;
    for (int i = 0; i < pairs; ++i) {
      std::string ppm = "P6 12 9 255\n";
      for (int p = 0; p < 12 * 9 * 3; ++p) ppm += static_cast<char>(i * 31 + p * (1 + i % 5));
      tar += member(cat(i, ".jpg"), ppm) + member(cat(i, ".txt"), cat("the red cat ", i));
    }
    write_file(dir / "s.tar", tar + end_of_tar);
    auto& d = options.data;
    d.data = {dir / "s.tar"}, d.batch = 4, d.epochs = 2, d.threads = 2, d.shuffle = 8, d.text = tiny_text(),
    d.text_side = tiny::vit().model.text;
    d.preprocess.size = 32;
    options.folder = dir / "run";
    options.title = "a run";
    options.log_every = 4;
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
  pair_metrics evaluate(const loader_config&, dim, dim) override { return {}; }
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
std::vector<double> values_of(const std::string& metrics, const std::string& name) {
  std::vector<double> out;
  const auto key = cat("\"", name, "\": ");
  for (std::size_t at = 0; (at = metrics.find(key, at)) != std::string::npos;) {
    at += key.size();
    out.push_back(std::stod(metrics.substr(at)));
  }
  return out;
}

checkpoint_config tiny_config() {
  auto c = tiny::vit();
  c.text.context_length = c.model.text.context_length;
  return c;
}
trainer_options tiny_options() {
  trainer_options o;
  o.seed = 3;
  o.schedule = {1e-3, 2, 10};
  o.optimizer.average = 0.5;
  return o;
}
std::unique_ptr<any_trainer> tiny_trainer() { return make_any_trainer<eigen<float>>(tiny_config(), tiny_options()); }

}  // namespace

TEST_CASE("training run: the device is asked when a line of metrics is due") {
  workplace w;
  fake_trainer t;
  watcher o;
  training_run run(w.options);
  CHECK(run.pairs() == 20);
  CHECK(run.steps_an_epoch() == 5);
  CHECK(run.steps() == 10);
  const auto r = run(t, w.settings, o);
  CHECK(r.steps == 10);
  CHECK_FALSE(r.stopped);
  CHECK(r.model == run.model_folder());
  CHECK(r.data.pairs == 40);
  CHECK(t.fetched == 10);
  CHECK(t.fetches == 4);  // lines at 4 and 8, checkpoints at 5 and 10, and none left for the end
  CHECK(t.scales == 2);
  CHECK(t.texts == 40);
  CHECK(t.saved == std::vector<dim>{5, 10, 10});
  CHECK(values_of(w.metrics(), "step") == std::vector<double>{4, 8});
  const auto mean = [&](dim from) {
    double sum = 0;
    for (dim i = from; i < from + 4; ++i) sum += t.loss_of(i);
    return sum / 4;
  };
  CHECK(values_of(w.metrics(), "loss") == std::vector<double>{mean(1), mean(5)});
  CHECK(values_of(w.metrics(), "lr") == std::vector<double>{0.5, 0.5});
  CHECK(fs::exists(w.dir / "run/report.html"));

  SECTION("or an observer asks, which changes no value") {
    workplace other;
    fake_trainer u;
    o.asks = true;
    training_run(other.options)(u, other.settings, o);
    CHECK(values_of(other.metrics(), "loss") == values_of(w.metrics(), "loss"));
    REQUIRE(o.losses.size() == 10);
    CHECK(o.losses[6] == u.loss_of(7));
  }
  SECTION("or it can keep no more") {
    workplace other;
    fake_trainer u;
    u.kept = 3;
    training_run(other.options)(u, other.settings, o);
    CHECK(values_of(other.metrics(), "loss") == values_of(w.metrics(), "loss"));
  }
}

TEST_CASE("training run: a loss that is not finite ends it before anything is saved") {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()})
    for (const dim log_every : {1, 1000}) {
      workplace w;
      fake_trainer t;
      watcher o;
      t.given = {1, 1, bad};
      w.options.log_every = log_every;
      CHECK_THAT(message([&] { training_run(w.options)(t, w.settings, o); }), Contains("no longer a number at step 3;"));
      CHECK(t.saved.empty());
      CHECK(t.done <= 5);  // the epoch's checkpoint
      CHECK_FALSE(fs::exists(w.dir / "run/model/model"));
    }
  workplace w;
  fake_trainer t;
  watcher o;
  t.given = {1, 1, 1, 1, 1, 1, 1, 1, 1, std::nan("")};
  w.options.log_every = 1000;
  w.options.save_every = 0;
  CHECK_THAT(message([&] { training_run(w.options)(t, w.settings, o); }), Contains("no longer a number at step 10;"));
  CHECK(t.saved.empty());
}

TEST_CASE("training run: the observer's stop saves, and a failing disk is told") {
  workplace w;
  fake_trainer t;
  watcher o;
  o.stop_at = 7;
  w.options.save_every = 0;
  const auto r = training_run(w.options)(t, w.settings, o);
  CHECK(r.stopped);
  CHECK(r.steps == 7);
  CHECK(t.saved == std::vector<dim>{7});
  workplace full;
  fake_trainer u;
  watcher p;
  u.disk_full = true;
  CHECK_THAT(message([&] { training_run(full.options)(u, full.settings, p); }), Contains("no space left"));
  CHECK(p.warnings.size() == 2);  // and at the end it is an error
  CHECK_THAT(p.warnings[0], Contains("no checkpoint at step 5: no space left"));
}

TEST_CASE("training run: resumed anywhere it ends with the same bits") {
  workplace straight, stopped;
  for (auto* w : {&straight, &stopped}) {
    w->options.save_every = 0.4;
    w->options.keep_last = 2;
    w->options.log_every = 1;
    w->options.held_out = w->options.data;
    w->options.held_out->epochs = 1;
    w->options.held_out->augment.reset();
    w->options.held_out->text.reset();  // the run knows it
  }
  watcher o;
  training_run(straight.options)(*tiny_trainer(), straight.settings, o);
  CHECK(straight.checkpoints() == list{"step_00000008.safetensors", "step_00000010.safetensors"});
  CHECK(values_of(straight.metrics(), "val_pairs") == std::vector<double>{20, 20});
  CHECK(o.warnings.empty());
  for (const dim stop : {3, 4, 9}) {
    watcher p;
    p.stop_at = stop;
    training_run(stopped.options)(*tiny_trainer(), stopped.settings, p);
    stopped.options.resume = "latest";
  }
  write_file(stopped.dir / "run/checkpoints/step_00000010.safetensors.tmp.1", "what a kill left");
  stopped.settings[0].second = "0.5";
  training_run(stopped.options)(*tiny_trainer(), stopped.settings, o);
  REQUIRE(o.warnings.size() == 1);
  CHECK_THAT(o.warnings[0], Contains("lr was 0.001 in") && Contains("step_00000009.safetensors and is 0.5 now"));
  CHECK(stopped.model() == straight.model());
  CHECK(stopped.checkpoints().size() == 2);
  CHECK(values_of(stopped.metrics(), "step") == values_of(straight.metrics(), "step"));
  for (auto* name : {"loss", "scale", "val_loss", "val_text_to_image_R@1"})
    CHECK(values_of(stopped.metrics(), name) == values_of(straight.metrics(), name));

  const auto refused = [&](const std::string& resume) {
    stopped.options.resume = resume;
    return message([&] { training_run(stopped.options)(*tiny_trainer(), stopped.settings, o); });
  };
  CHECK_THAT(refused(""), Contains("holds a run of 10 steps"));
  CHECK_THAT(refused(stopped.dir / "run/checkpoints/" + stopped.checkpoints()[0]), Contains("move later ones away"));
  CHECK_THAT(refused(stopped.dir / "run/model/open_clip_model.safetensors"), Contains("the state of a training run"));
  fs::remove_all(stopped.dir / "run");
  CHECK_THAT(refused("latest"), Contains("no checkpoint in"));
}

TEST_CASE("training run: a look at the model on its way") {
  workplace w;
  struct looker : watcher {
    std::string folder;
    dim looks = 0;
    std::vector<metric> look(any_model& m) override {
      eigen<float> d;
      const auto written = load<vit>(d, folder);
      const list labels{"the red cat", "a dog"};
      const auto now = m.encode_text(labels);
      const auto then = written.encode_text(labels);
      CHECK(std::get<std::vector<float>>(now.values) == then.values);
      const std::vector<std::uint8_t> rgb(32 * 32 * 3, 77);
      const auto image = written.encode_pixels(rgb);
      CHECK(std::get<std::vector<float>>(m.encode_pixels(rgb).values) == image.values);
      const auto scores = m.scores(m.encode_pixels(rgb), m.keep(now));
      CHECK(std::get<std::vector<float>>(scores.values) == clipx::cosines(d, image, then));
      CHECK(std::ranges::equal(m.score().parameters(), written.score().parameters()));
      return {{"looks", static_cast<double>(++looks)}};
    }
  } o;
  w.options.look_every = 1;
  training_run run(w.options);
  o.folder = run.model_folder();
  run(*tiny_trainer(), w.settings, o);
  CHECK(values_of(w.metrics(), "looks") == std::vector<double>{1, 2});
}

TEST_CASE("training run: one process at a time has the folder") {
  workplace w;
  fake_trainer t;
  watcher o;
  {
    const folder_lock other(w.dir / "run");
    CHECK_THAT(message([&] { training_run(w.options)(t, w.settings, o); }), Contains("another process is writing to this folder"));
    CHECK(t.done == 0);
  }
  CHECK(training_run(w.options)(t, w.settings, o).steps == 10);
  CHECK_FALSE(fs::exists(w.dir / "run/.clipx.lock"));
}

TEST_CASE("training run: what cannot be run is refused at once") {
  workplace w(3);
  CHECK_THAT(message([&] { training_run run(w.options); }), Contains("at least a batch of 4 pairs, got 3"));
  workplace v;
  v.options.data.text.reset();
  CHECK_THAT(message([&] { training_run run(v.options); }), Contains("tokenizer"));
  workplace u;
  u.options.data.epochs = 0;
  CHECK_THAT(message([&] { training_run run(u.options); }), Contains("1 epoch or more"));
  const auto refusal = [](auto&& change) {
    workplace x;
    change(x.options);
    return message([&] { training_run run(x.options); });
  };
  CHECK_THAT(refusal([](auto& o) { o.data.epochs = std::uint64_t{1} << 60; }), Contains("loader_config::epochs: expected at most"));
  for (double never : {1e-9, -1.0, 1e300, std::nan("")})
    CHECK_THAT(refusal([&](auto& o) { o.save_every = never; }), Contains("run_options::save_every: expected 0"));
  CHECK(refusal([](auto& o) { o.save_every = 0; }) == "no error");
  CHECK_THAT(refusal([](auto& o) { o.keep_last = -1; }), Contains("0 or more"));
  CHECK_THAT(refusal([](auto& o) { o.held_out_pairs = 0; }), Contains("1 held-out pair or more"));
}

TEST_CASE("trainer: options outside what makes sense are refused, with their range") {
  const auto refusal = [](auto&& change) {
    trainer_options o;
    change(o);
    return message([&] { check_options(o); });
  };
  CHECK(refusal([](auto&) {}) == "no error");
  for (const double bad : {-0.1, 1.0, std::nan(""), HUGE_VAL}) {
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.beta1 = bad; }),
               Contains("optimizer_options::beta1: expected 0 to below 1, got"));
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.beta2 = bad; }), Contains("beta2"));
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.average = bad; }), Contains("average"));
    CHECK_THAT(refusal([&](auto& o) { o.patch_dropout = bad; }), Contains("patch dropout"));
  }
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    CHECK_THAT(refusal([&](auto& o) { o.schedule.peak = bad; }), Contains("cosine_schedule::peak: expected 0 to 1e9"));
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.weight_decay = bad; }), Contains("weight_decay"));
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.max_norm = bad; }), Contains("max_norm"));
  }
  CHECK_THAT(refusal([](auto& o) { o.optimizer.max_norm = 1e-300; }), Contains("0, or 1e-12 to 1e9"));  // 0 in float
  for (const double bad : {0.0, 1e-300, 2.0, std::nan("")})
    CHECK_THAT(refusal([&](auto& o) { o.optimizer.eps = bad; }), Contains("eps"));
  CHECK_THAT(refusal([](auto& o) { o.schedule.total = 0; }), Contains("total"));
  CHECK_THAT(refusal([](auto& o) { o.gradients.chunk = -1; }), Contains("chunk"));
  CHECK_THAT(message([] { choose_patches(dim{1} << 31, 50, 0.5, draws(1, 2, 3)); }),
             Contains("expected a batch of at most 42949672"));
}

TEST_CASE("trainer: a damaged state is refused, and changes nothing") {
  const temporary_folder dir;
  eigen<float> d;
  trainer<vit, eigen<float>> t(d, tiny_config(), tiny_options());
  const auto path = dir / "state";
  write_training_state(path, t, {});
  const auto whole = contents(path);
  const auto refusal = [&](const std::string& file) {
    write_file(path, file);
    return message([&] { read_training_state(path, t); });
  };
  CHECK(refusal(whole) == "no error");
  const auto steps = whole.find("\"steps\":\"0\"");
  REQUIRE(steps != std::string::npos);
  for (const char bad : {'x', '-', ' '}) {
    auto file = whole;
    file[steps + 9] = bad;
    CHECK_THAT(refusal(file), Contains("expected a number of steps, got"));
  }
  const float nan = std::nanf("");
  auto file = whole;
  std::memcpy(file.data() + file.size() - sizeof nan, &nan, sizeof nan);
  CHECK_THAT(refusal(file), Contains("expected numbers, got nan"));
  write_training_state(path, t, {});
  CHECK(contents(path) == whole);
}

TEST_CASE("trainer: losses wait on the device, the last of them") {
  eigen<float> d;
  const auto config = tiny_config();
  trainer<vit, eigen<float>> t(d, config, tiny_options());
  std::vector<double> each;
  const std::vector<std::vector<std::int32_t>> texts{{520, 5, 521}, {520, 7, 8, 521}};
  std::vector<std::uint8_t> rgb(2 * 32 * 32 * 3);
  CHECK_THAT(message([&] { t.loss(); }), Contains("of the 0 batches so far, got 1"));
  const dim kept = t.losses_kept;
  for (dim i = 0; i < kept + 3; ++i) {
    for (std::size_t p = 0; p < rgb.size(); ++p) rgb[p] = static_cast<std::uint8_t>(static_cast<std::size_t>(i) * 7 + p * p);
    t.step(rgb, texts);
    each.push_back(t.loss());
  }
  std::vector<double> late(static_cast<std::size_t>(kept));
  t.losses(late);
  CHECK(late == std::vector<double>(each.begin() + 3, each.end()));
  late.resize(5);
  t.losses(late);
  CHECK(late == std::vector<double>(each.end() - 5, each.end()));
  late.resize(static_cast<std::size_t>(kept) + 1);
  CHECK_THAT(message([&] { t.losses(late); }), Contains("at most 128"));
}

}  // namespace test_train_run
