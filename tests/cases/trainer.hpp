// A trainer on every backend: what goes to a file and comes back trains on to the same bits.
#pragma once
#include <clipx/checkpoint/embeddings.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/train/state.hpp>

#include "../unit/temporary.hpp"
#include "batches.hpp"

namespace cases {

template <class Encoder, class Loss = clipx::contrastive, class Backend>
void test_trainer(Backend& d, const clipx::clip_config& config, clipx::trainer_options o) {
  INFO(config.vision.policy().name());
  const auto whole = clipx::default_config(config);
  o.schedule = {1e-2, 2, 6};
  o.optimizer.max_norm = 1;
  o.optimizer.average = 0.5;
  const temporary_folder dir;
  clipx::trainer<Encoder, Backend, Loss> straight(d, whole, o), stopped(d, whole, o);
  train_to(straight, 3);
  train_to(stopped, 3);
  clipx::write_training_state(dir / "a.safetensors", stopped, {{"place", "12"}});
  train_to(straight, 6);
  clipx::trainer<Encoder, Backend, Loss> again(d, whole, o);
  train_to(again, 1);  // what it did before does not matter
  const auto facts = clipx::read_training_state(dir / "a.safetensors", again);
  CHECK(std::find(facts.begin(), facts.end(), std::pair<std::string, std::string>("place", "12")) != facts.end());
  CHECK(again.count() == 3);
  clipx::write_training_state(dir / "b.safetensors", again, {{"place", "12"}});
  CHECK(contents(dir / "a.safetensors") == contents(dir / "b.safetensors"));
  train_to(again, 6);
  CHECK(again.loss() == straight.loss());
  clipx::write_training_state(dir / "c.safetensors", straight, {});
  clipx::write_training_state(dir / "d.safetensors", again, {});
  CHECK(contents(dir / "c.safetensors") == contents(dir / "d.safetensors"));
  CHECK(contents(dir / "c.safetensors") != contents(dir / "a.safetensors"));
  auto without = o;
  without.optimizer.average = 0;
  clipx::trainer<Encoder, Backend, Loss> plain(d, whole, without);
  clipx::write_training_state(dir / "f.safetensors", plain, {});
  const auto refused = message([&] { clipx::read_training_state(dir / "f.safetensors", again); });
  INFO(refused);
  CHECK(refused.find("missing: average.logit_scale") != std::string::npos);
}

/// A trainer's running statistics: of the weights, or of their average.
template <class Trainer>
std::vector<double> statistics_of(Trainer& t, std::string_view prefix) {
  std::vector<double> all;
  t.optimizer().each_state([&]<class A>(const std::string& name, const clipx::shape& s, clipx::mat<A> m) {
    if (!name.starts_with(prefix) || name.find(".running_") == std::string::npos) return;
    std::vector<double> values(static_cast<std::size_t>(s.count()));
    t.model().device().download(clipx::mat<const A>(m), clipx::mat<double>(values.data(), m.rows, m.cols));
    t.model().device().sync();
    all.insert(all.end(), values.begin(), values.end());
  });
  return all;
}

/// An average that follows the weights at once must get the statistics of the last batch: what a step that changes no weight adds.
template <class Backend>
void test_fitted_average(Backend& d) {
  using clipx::accum_t, clipx::scalar_t;
  const auto config = tiny_resnet();
  clipx::trainer_options o;
  o.seed = 3;
  o.schedule = {1e-2, 0, 100};
  o.optimizer.average = 1e-30;
  const temporary_folder dir;
  clipx::trainer<clipx::modified_resnet, Backend> t(d, clipx::default_config(config), o);
  train_to(t, 3);
  const auto drifting = statistics_of(t, "average.");
  clipx::write_training_state(dir / "a.safetensors", t, {});
  const auto fitted = statistics_of(t, "average.");
  CHECK(fitted != drifting);
  o.schedule.peak = 0;
  clipx::trainer<clipx::modified_resnet, Backend> still(d, clipx::default_config(config), o);
  clipx::read_training_state(dir / "a.safetensors", still);
  CHECK(statistics_of(still, "average.") == fitted);
  const auto before = statistics_of(still, "weights.");
  const drawn_batch last(config, 2);
  still.step(last.rgb, last.texts);
  const auto after = statistics_of(still, "weights.");
  REQUIRE(fitted.size() == after.size());
  const bool exact =
      std::is_same_v<scalar_t<Backend>, accum_t<Backend>>;  // else bf16 weights of the average may be another's neighbors
  const double eps = std::is_same_v<accum_t<Backend>, double> ? 1e-16 : 6e-8;
  double worst = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const double batch = (after[i] - 0.9 * before[i]) / 0.1;
    worst = std::max(worst, std::abs(batch - fitted[i]) / std::max({std::abs(batch), std::abs(before[i]), 1e-2}));
  }
  CAPTURE(worst);
  CHECK(worst < (exact ? 100 * eps : 1e-2));
}

/// The sigmoid loss: as its formula gives it for the initial weights, and lower once the model, its bias included, has learned.
template <class Backend>
void test_sigmoid_trainer(Backend& d) {
  using A = clipx::accum_t<Backend>;
  auto config = tiny_vit();
  config.loss = clipx::sigmoid::config{};
  clipx::trainer_options o;
  o.seed = 5;
  o.schedule = {1e-2, 0, 40};
  o.optimizer.weight_decay = 0;
  clipx::trainer<clipx::vit, Backend, clipx::sigmoid> t(d, clipx::default_config(config), o);
  const drawn_batch b(config, 0);
  const auto bias = [&] {
    double v = 0;
    d.download(clipx::mat<const A>(t.model().loss.logit_bias), clipx::mat<double>(&v, 1, 1));
    d.sync();
    return v;
  };
  CHECK(bias() == -10);
  CHECK(std::abs(t.score().parameters()[0] - std::log(10.0)) < 1e-6);
  t.step(b.rgb, b.texts);
  const double first = t.loss();
  // Features hardly differ at first: a cosine c for all, so a loss of log(1 + e^(10 - 10 c)) + 3 log(1 + e^(10 c - 10)).
  CHECK((first > 0.5 && first < 21));
  CHECK(bias() != -10);
  for (int i = 0; i < 39; ++i) t.step(b.rgb, b.texts);
  CAPTURE(first, t.loss());
  CHECK(t.loss() < 0.7 * first);
  clipx::initialize(t.model(), config, 5);
  CHECK(bias() == -10);
}

/// The first step's loss, by the images normalized with the configuration's own mean and std.
template <class Backend>
void test_normalization(Backend& d) {
  using A = clipx::accum_t<Backend>;
  auto config = clipx::default_config(tiny_vit());
  config.pixels.mean = {0.1f, 0.2f, 0.3f};
  config.pixels.std = {0.4f, 0.3f, 0.2f};
  const drawn_batch b(config.model, 0);
  const auto& p = config.pixels;
  clipx::trainer<clipx::vit, Backend> t(d, config, {});
  const auto images = clipx::embed_pixels(t.model().towers, b.rgb, p.mean, p.std),
             texts = clipx::embed_tokens(t.model().towers, b.texts);
  const auto cosines = clipx::cosines(d, images, texts);
  const auto N = static_cast<dim>(b.texts.size());
  double want = 0;
  t.score().add_pair_loss([&](dim i, dim j) { return static_cast<double>(cosines[static_cast<std::size_t>(i * N + j)]); }, N, N,
                          want);
  t.step(b.rgb, b.texts);
  CAPTURE(t.loss(), want);
  CHECK(std::abs(t.loss() - want) < (std::is_same_v<A, double> ? 1e-12 : 1e-5) * want);
  clipx::trainer<clipx::vit, Backend> plain(d, clipx::default_config(config.model), {});
  plain.step(b.rgb, b.texts);
  CHECK(std::abs(plain.loss() - want) > 1e-4 * want);
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("a trainer normalizes images as its configuration says") { cases::test_normalization(device()); }
TEST_CASE("a trainer goes on from its file") {
  clipx::trainer_options o;
  o.seed = 7;
  o.patch_dropout = 0.4;
  o.whole_from = 5;
  cases::test_trainer<clipx::vit>(device(), cases::tiny_vit(), o);
  o.patch_dropout = 0;
  cases::test_trainer<clipx::modified_resnet>(device(), cases::tiny_resnet(), o);
}
TEST_CASE("a trainer by the sigmoid loss") {
  auto config = cases::tiny_vit();
  config.loss = clipx::sigmoid::config{};
  clipx::trainer_options o;
  o.seed = 7;
  cases::test_trainer<clipx::vit, clipx::sigmoid>(device(), config, o);
  cases::test_sigmoid_trainer(device());
}
TEST_CASE("averaged weights have BatchNorm statistics of their own") { cases::test_fitted_average(device()); }
#endif
