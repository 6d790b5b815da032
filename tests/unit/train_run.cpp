// A training run in a folder: what it asks of a trainer and when, what it leaves on disk, and how it goes on.
#include <clipx/io/lock.hpp>
#include <limits>

#include "tiny_run.hpp"

namespace test_train_run {

using namespace tiny_run;

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
  CHECK(t.fetches == 4);  // lines at 4 and 8, checkpoints at 5 and at the end
  CHECK(t.scales == 2);
  CHECK(t.texts == 40);
  CHECK(t.saved == std::vector<dim>{5, 10});
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
  CHECK_THAT(message([&] { training_run(full.options)(u, full.settings, p); }),
             Contains("no space left; written: the model and the report"));
  CHECK(fs::exists(full.dir / "run/model/model"));
  CHECK(p.warnings.size() == 1);  // and at the end it is an error
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
  CHECK_THAT(refusal(file), Contains("damaged: expected the checksum"));
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
