// A trainer on every backend: what goes to a file and comes back trains on to the same bits.
#pragma once
#include <clipx/core/bf16.hpp>
#include <clipx/train/state.hpp>

#include "../unit/temporary.hpp"
#include "tiny.hpp"

namespace cases {

/// Four pairs of step `count` for a model.
struct drawn_batch {
  std::vector<std::uint8_t> rgb;
  std::vector<std::vector<std::int32_t>> texts = tiny_texts();
  drawn_batch(const clipx::clip_config& c, dim count) {
    const clipx::draws draw(count);
    for (dim i = 0; i < 4 * c.vision.image_size * c.vision.image_size * 3; ++i)
      rgb.push_back(static_cast<std::uint8_t>(draw(static_cast<std::uint64_t>(i))));
  }
};

template <class Trainer>
void train_to(Trainer& t, dim count) {
  while (t.count() < count) {
    const drawn_batch b(t.model().config(), t.count());
    t.step(b.rgb, b.texts);
  }
}

template <class Encoder, class Backend>
void test_trainer(Backend& d, const clipx::clip_config& config, clipx::trainer_options o) {
  INFO((config.vision.is_resnet() ? "resnet" : "vit"));
  o.schedule = {1e-2, 2, 6}, o.optimizer.max_norm = 1, o.optimizer.average = 0.5;
  const temporary_folder dir;
  clipx::trainer<Encoder, Backend> straight(d, config, o), stopped(d, config, o);
  train_to(straight, 3), train_to(stopped, 3);
  clipx::write_training_state(dir / "a.safetensors", stopped, {{"place", "12"}});
  train_to(straight, 6);
  clipx::trainer<Encoder, Backend> again(d, config, o);
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
  clipx::trainer<Encoder, Backend> plain(d, config, without);
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
  o.seed = 3, o.schedule = {1e-2, 0, 100}, o.optimizer.average = 1e-30;
  const temporary_folder dir;
  clipx::trainer<clipx::modified_resnet, Backend> t(d, config, o);
  train_to(t, 3);
  const auto drifting = statistics_of(t, "average.");
  clipx::write_training_state(dir / "a.safetensors", t, {});
  const auto fitted = statistics_of(t, "average.");
  CHECK(fitted != drifting);
  o.schedule.peak = 0;
  clipx::trainer<clipx::modified_resnet, Backend> still(d, config, o);
  clipx::read_training_state(dir / "a.safetensors", still);
  CHECK(statistics_of(still, "average.") == fitted);
  const auto before = statistics_of(still, "weights.");
  const drawn_batch last(config, 2);
  still.step(last.rgb, last.texts);
  const auto after = statistics_of(still, "weights.");
  REQUIRE(fitted.size() == after.size());
  const bool exact =
      std::is_same_v<scalar_t<Backend>, accum_t<Backend>>;  // else bf16 weights of the average may be another's neighbours
  const double eps = std::is_same_v<accum_t<Backend>, double> ? 1e-16 : 6e-8;
  double worst = 0;
  for (std::size_t i = 0; i < after.size(); ++i) {
    const double batch = (after[i] - 0.9 * before[i]) / 0.1;
    worst = std::max(worst, std::abs(batch - fitted[i]) / std::max({std::abs(batch), std::abs(before[i]), 1e-2}));
  }
  CAPTURE(worst);
  CHECK(worst < (exact ? 100 * eps : 1e-2));
}

/// The sigmoid loss: as its formula gives it for the initial weights, and lower once the model, its bias included, has learnt.
template <class Backend>
void test_sigmoid_trainer(Backend& d) {
  using A = clipx::accum_t<Backend>;
  auto config = tiny_vit();
  config.initial_logit_bias = -10;
  clipx::trainer_options o;
  o.seed = 5, o.schedule = {1e-2, 0, 40}, o.optimizer.weight_decay = 0;
  clipx::trainer<clipx::vit, Backend> t(d, config, o);
  const drawn_batch b(config, 0);
  const auto bias = [&] {
    double v = 0;
    d.download(clipx::mat<const A>(t.model().logit_bias), clipx::mat<double>(&v, 1, 1));
    d.sync();
    return v;
  };
  CHECK(bias() == -10);
  CHECK(std::abs(t.log_scale() - std::log(10.0)) < 1e-6);
  t.step(b.rgb, b.texts);
  const double first = t.loss();
  // Features hardly differ at first: a cosine c for all, so a loss of log(1 + e^(10 - 10 c)) + 3 log(1 + e^(10 c - 10)).
  CHECK((first > 0.5 && first < 21));
  CHECK(bias() != -10);
  for (int i = 0; i < 39; ++i) t.step(b.rgb, b.texts);
  CAPTURE(first, t.loss());
  CHECK(t.loss() < 0.7 * first);
  clipx::initialise(t.model(), 5);
  CHECK(bias() == -10);
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("a trainer goes on from its file") {
  clipx::trainer_options o;
  o.seed = 7, o.patch_dropout = 0.4, o.whole_from = 5;
  cases::test_trainer<clipx::vit>(device(), cases::tiny_vit(), o);
  o.patch_dropout = 0;
  cases::test_trainer<clipx::modified_resnet>(device(), cases::tiny_resnet(), o);
}
TEST_CASE("a trainer by the sigmoid loss") {
  auto config = cases::tiny_vit();
  config.initial_logit_bias = -10;
  clipx::trainer_options o;
  o.seed = 7;
  cases::test_trainer<clipx::vit>(device(), config, o);
  cases::test_sigmoid_trainer(device());
}
TEST_CASE("averaged weights have BatchNorm statistics of their own") { cases::test_fitted_average(device()); }
#endif
