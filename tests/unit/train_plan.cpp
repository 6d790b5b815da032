// A training run against its plan: samples that cannot be used, data that changes, signals and disks at bad moments, damaged files.
#include <clipx/io/safetensors.hpp>

#include "tiny_run.hpp"

namespace test_train_plan {

using namespace tiny_run;

namespace {
/// Asks for the end while the run evaluates.
struct evaluation_stopper : watcher {
  bool asked = false;
  bool cancelled() override { return asked; }
  void progress(const std::string& stage, std::size_t, std::size_t) override { asked |= stage == "held-out pairs"; }
};

workplace& with_held_out(workplace& w) {
  w.options.held_out = w.options.data;
  w.options.held_out->epochs = 1;
  w.options.held_out->augment.reset();
  return w;
}
}  // namespace

TEST_CASE("training plan: samples that cannot be used take no step away") {
  workplace w;
  write_file(w.dir / "s.tar", workplace::shard_of(20, 6) + end_of_tar);
  fake_trainer t;
  watcher o;
  training_run run(w.options);
  CHECK(run.steps() == 10);
  const auto r = run(t, w.settings, o);
  CHECK(r.steps == 10);
  CHECK_FALSE(r.data_changed);
  CHECK(o.warnings.empty());
  CHECK(r.data.pairs == 40);
  CHECK(r.data.skipped.unreadable >= 12);  // two passes and a part of the third or fourth
  CHECK(t.saved == std::vector<dim>{5, 10});
}

TEST_CASE("training plan: empty captions are no pairs, and it is said at the start") {
  workplace w;
  write_file(w.dir / "t.tar", member("a.jpg", "P6 1 1 255\nabc") + member("a.txt", "") + workplace::shard_of(20) + end_of_tar);
  w.options.data.data = {w.dir / "t.tar"};
  const training_run run(w.options);
  CHECK(run.pairs() == 20);
  CHECK(run.skipped().count == 1);
  CHECK_THAT(run.skipped().text(), Contains("t.tar: a: expected a caption, got an empty text, on which open_clip would train"));
}

TEST_CASE("training plan: data that vanishes is noticed, and the steps are still those of the plan") {
  workplace w;
  w.options.data.data = {w.dir / "{s,t}.tar"};
  w.options.data.epochs = 3;
  write_file(w.dir / "t.tar", workplace::shard_of(20) + end_of_tar);
  struct vanishing : watcher {
    std::string shard;
    bool cancelled() override {
      if (!shard.empty()) write_file(std::exchange(shard, ""), workplace::shard_of(4) + end_of_tar);  // ends at a member's end
      return false;
    }
    void stepped(run_progress&) override {}
  } o;
  fake_trainer t;
  training_run run(w.options);
  CHECK(run.steps() == 30);
  o.shard = w.dir / "t.tar";
  const auto r = run(t, w.settings, o);
  CHECK(r.steps == 30);
  CHECK(r.data_changed);
  REQUIRE(o.warnings.size() >= 3);
  CHECK_THAT(o.warnings[0], Contains("pass 1 over the data: expected 40 samples, as were counted before the first step, got 24"));

  SECTION("all of it: what was done is saved first") {
    workplace v;
    v.options.save_every = 0;
    fake_trainer u;
    v.options.data.shuffle = 0;
    v.options.data.epochs = 1000;
    training_run all(v.options);
    struct emptying : vanishing {
      dim at = 3;
      void stepped(run_progress& now) override {
        if (now.step() == at) write_file(shard, member("a.txt", "no image") + end_of_tar);
      }
      bool cancelled() override { return false; }
    } q;
    q.shard = v.dir / "s.tar";
    CHECK_THAT(message([&] { all(u, v.settings, q); }), Contains("samples that can be used, got 0"));
    REQUIRE(u.saved.size() == 1);
    CHECK(u.saved[0] == u.done);
  }
}

TEST_CASE("training plan: the last pass is held against the count too") {
  workplace w;
  w.options.data.epochs = 1;
  training_run run(w.options);
  write_file(w.dir / "s.tar", workplace::shard_of(23) + end_of_tar);
  fake_trainer t;
  struct : watcher {
    void stepped(run_progress&) override {}
  } o;
  const auto r = run(t, w.settings, o);
  CHECK(r.steps == 5);
  CHECK(r.data_changed);
  REQUIRE(o.warnings.size() == 1);
  CHECK_THAT(o.warnings[0], Contains("expected 20 samples") && Contains("got 23"));
}

TEST_CASE("training plan: an evaluation is recorded once, wherever the run is killed") {
  workplace straight, killed;
  watcher o;
  training_run(with_held_out(straight).options)(*tiny_trainer(), straight.settings, o);
  const auto once = straight.metrics();
  CHECK(values_of(once, "val_loss").size() == 2);

  with_held_out(killed);
  SECTION("at any checkpoint, with all lines written") {
    killed.options.save_every = 0.2;
    killed.options.keep_last = 0;
    training_run(killed.options)(*tiny_trainer(), killed.settings, o);
    const auto all = killed.checkpoints();
    REQUIRE(all.size() == 10);
    for (std::size_t last = all.size(); last-- > 0;) {
      if (last + 1 < all.size()) fs::remove(killed.dir / "run/checkpoints/" + all[last + 1]);
      auto again = killed.options;
      again.resume = "latest";
      again.save_every = 0;
      if (last + 1 == all.size()) continue;
      training_run run(again);
      run(*tiny_trainer(), killed.settings, o);
      CHECK(values_of(killed.metrics(), "step") == values_of(once, "step"));
      CHECK(values_of(killed.metrics(), "val_loss") == values_of(once, "val_loss"));
      CHECK(killed.model() == straight.model());
      fs::remove(killed.dir / "run/checkpoints/step_00000010.safetensors");
    }
  }
  SECTION("stopped while it evaluates") {
    evaluation_stopper p;
    const auto r = training_run(killed.options)(*tiny_trainer(), killed.settings, p);
    CHECK(r.stopped);
    CHECK(r.steps == 5);
    CHECK(values_of(killed.metrics(), "val_loss").empty());
    killed.options.resume = "latest";
    training_run(killed.options)(*tiny_trainer(), killed.settings, o);
    CHECK(values_of(killed.metrics(), "step") == values_of(once, "step"));
    CHECK(values_of(killed.metrics(), "val_loss") == values_of(once, "val_loss"));
  }
}

TEST_CASE("training plan: a run without a step writes nothing") {
  workplace w;
  fake_trainer t;
  watcher o;
  o.stop_at = 0;
  const auto r = training_run(w.options)(t, w.settings, o);
  CHECK(r.stopped);
  CHECK(r.steps == 0);
  CHECK(t.saved.empty());
  CHECK_FALSE(fs::exists(w.dir / "run/model/model"));
  CHECK_FALSE(fs::exists(w.dir / "run/report.html"));
}

TEST_CASE("training plan: what an epoch's end needs is there before the first step") {
  workplace w;
  with_held_out(w);
  w.options.held_out->data = {w.dir / "v.tar"};
  CHECK_THAT(message([&] { training_run run(w.options); }), Contains("v.tar"));
  write_file(w.dir / "v.tar", workplace::shard_of(3, 3) + end_of_tar);  // no image among them
  CHECK_THAT(message([&] { training_run run(w.options); }), Contains("run_options::held_out: ") && Contains("v.tar: 0"));
  write_file(w.dir / "v.tar", workplace::shard_of(3, 2) + end_of_tar);
  CHECK_NOTHROW(training_run(w.options));
}

TEST_CASE("training state: no damaged bit is resumed from") {
  workplace w;
  watcher o;
  w.options.data.epochs = 1;
  struct : watcher {
    void stepped(run_progress&) override {}
  } p;
  training_run(w.options)(*tiny_trainer(), w.settings, p);
  const auto path = w.dir / "run/checkpoints/step_00000005.safetensors";
  const auto whole = contents(path);
  const auto t = tiny_trainer();
  t->restore(path);
  CHECK(t->count() == 5);
  const auto header = whole.find("\"steps\"");
  REQUIRE(header != std::string::npos);
  std::vector<std::size_t> places;
  for (std::size_t i = 0; i < 60; ++i) places.push_back(i * (whole.size() - 1) / 59);
  for (std::size_t i = 0; i < 40; ++i) places.push_back(header + i * 7);  // the facts
  for (std::size_t place : places) {
    auto flipped = whole;
    flipped[place] = static_cast<char>(flipped[place] ^ (1 << place % 8));
    write_file(path, flipped);
    CAPTURE(place);
    CHECK(message([&] { t->restore(path); }) != "no error");
  }
  auto data = whole;
  data.back() = static_cast<char>(data.back() ^ 1);
  write_file(path, data);
  CHECK_THAT(message([&] { t->restore(path); }), Contains("damaged: expected the checksum"));
  write_file(path, whole);
  t->restore(path);
}

TEST_CASE("training state: steps and position that contradict each other") {
  workplace w;
  struct forger final : any_trainer {
    std::unique_ptr<any_trainer> real = tiny_trainer();
    std::string position;
    void step(std::span<const std::uint8_t> rgb, const packed_texts& texts) override { real->step(rgb, texts); }
    void losses(std::span<double> out) override { real->losses(out); }
    dim losses_kept() const override { return real->losses_kept(); }
    scoring score() override { return real->score(); }
    double learning_rate() const override { return real->learning_rate(); }
    dim count() const override { return real->count(); }
    dim parameters() override { return real->parameters(); }
    void save(const std::string& path, const state_facts& facts) override { real->save(path, facts); }
    state_facts restore(const std::string& path) override {
      auto facts = real->restore(path);
      for (auto& [name, value] : facts)
        if (name == "position" && !position.empty()) value = position;
      return facts;
    }
    void start_from(const checkpoint& c) override { real->start_from(c); }
    void write_model(const std::string& folder, const tokenizer& text) override { real->write_model(folder, text); }
    any_model trained(checkpoint c) override { return real->trained(std::move(c)); }
    pair_metrics evaluate(const loader_config& c, dim most, dim block, observer& o) override {
      return real->evaluate(c, most, block, o);
    }
  } t;
  watcher o;
  o.stop_at = 7;
  training_run(w.options)(t, w.settings, o);
  w.options.resume = "latest";
  for (const char* bad : {"[0, 28, 6]", "[1, 8, 8]", "[6, 8, 2]", "[18446744073709551615, 0, 0]"}) {
    CAPTURE(bad);
    t.position = bad;
    CHECK_THAT(message([&] { training_run(w.options)(t, w.settings, o); }), Contains("agrees with its 7 steps"));
  }
  t.position = "[1, 8, 2]";
  o.stop_at = -1;
  CHECK(training_run(w.options)(t, w.settings, o).steps == 10);
}

TEST_CASE("training run: damaged lines of the record are put aside") {
  workplace w;
  watcher o;
  o.stop_at = 9;
  training_run(w.options)(*tiny_trainer(), w.settings, o);
  const auto before = w.metrics();
  write_file(w.dir / "run/metrics.jsonl", "{\"step\": 3, \"lo\xff\n" + before);
  w.options.resume = "latest";
  watcher p;
  CHECK(training_run(w.options)(*tiny_trainer(), w.settings, p).steps == 10);
  REQUIRE(p.warnings.size() == 1);
  CHECK_THAT(p.warnings[0], Contains("metrics.jsonl: line 1: ") && Contains("put aside in metrics.damaged.jsonl"));
  CHECK(contents(w.dir / "run/metrics.damaged.jsonl") == "{\"step\": 3, \"lo\xff\n");
  CHECK(w.metrics().starts_with(before));
}

}  // namespace test_train_plan
