// What training adds: the optimiser, batches in chunks, locked towers.
#pragma once
#include <clipx/architectures/list.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/train/gradients.hpp>
#include <clipx/train/optimizer.hpp>

#include "tiny.hpp"

namespace cases {

/// Three steps of AdamW on n parameters whose gradients come as T, and on a few whose gradients come in A.
struct adamw_case {
  dim n;
  double max_norm = 0;
  std::string name() const { return clipx::cat("adamw ", n, max_norm > 0 ? ", clipped" : ""); }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    using A = clipx::accum_t<B>;
    auto p = h.template input<A>("p", 1, n), few = h.template input<A>("few", 1, 3);
    auto m = h.template input<A>("m", 1, n, 0), v = h.template input<A>("v", 1, n, 0);
    auto few_m = h.template input<A>("few m", 1, 3, 0), few_v = h.template input<A>("few v", 1, 3, 0);
    auto copy = h.s.make(1, n);
    auto squares = h.s.make_accum(1, 1);
    for (dim count = 1; count <= 3; ++count) {
      auto g = h.input(clipx::cat("g", count), 1, n, 0.1), g_few = h.input(clipx::cat("few g", count), 1, 3, 0.1);
      auto wide = h.s.make_accum(1, 3);
      h.device.copy(mat<const T>(g_few), wide);
      h.device.fill(squares, A(0));
      h.device.sum_squares(mat<const T>(g), squares);
      h.device.sum_squares(mat<const A>(wide), squares);
      const clipx::adamw_step s{
          .lr = 0.01, .beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .decay = 0.2, .max_norm = max_norm, .count = count};
      h.device.adamw(s, mat<const A>(squares), mat<const T>(g), p, m, v, copy);
      auto undecayed = s;
      undecayed.decay = 0;
      h.device.adamw(undecayed, mat<const A>(squares), mat<const A>(wide), few, few_m, few_v);
    }
    auto mean = h.template input<A>("mean", 1, n);
    h.device.lerp(0.003, mat<const A>(p), mean);
    h.output("p", p);
    h.output("mean", mean);
    auto close = h.template input<A>("close", 1, n);
    h.device.lerp(0.75, mat<const A>(p), close);
    h.output("close", close);
    h.output("m", m);
    h.output("v", v);
    h.output("few", few);
    h.output("squares", squares);
    h.output("copy", copy);
  }
};

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include "driver.hpp"

namespace cases {
/// Roundings of three steps in A, a dozen of each value's own size; and those of the norm, a sum of n terms, where it clips.
template <class Backend>
void test_adamw(Backend& d, const adamw_case& c) {
  using T = clipx::scalar_t<Backend>;
  using A = clipx::accum_t<Backend>;
  INFO(c.name());
  clipx::eigen<double> wide;
  harness<clipx::eigen<double>> want(wide, rounding_of<T>());
  auto got = run(d, c);
  c.run(want);
  const double of_sum = 2 * epsilon<A>() * std::sqrt(static_cast<double>(c.n));
  for (auto& [name, values] : want.outputs)
    compare(name, got.outputs[name], values,
            16 * epsilon<A>() + (c.max_norm > 0 || name == "squares" ? of_sum : 0) + (name == "copy" ? 2 * epsilon<T>() : 0));
}

/// Draws every parameter of a model.
template <class Backend>
void draw_weights(Backend& d, const clipx::parameter_list<Backend>& parameters, const rounding& round) {
  for (auto& [name, shape, role, low, high] : parameters) {
    const bool gain = (name.ends_with(".weight") && shape.sizes.size() == 1) || name.ends_with("running_var");
    auto values = draw(name, shape.count(), shape.sizes.size() < 2 ? 0.1 : 0.15, gain ? 1 : name == "logit_scale" ? 2 : 0);
    for (auto& v : values) v = round(v);
    const std::vector<float> narrow(values.begin(), values.end());
    const mat<const float> source(narrow.data(), shape.rows(), shape.cols());
    if (low) d.upload(source, *low);
    else d.upload(source, *high);
  }
}
/// Every parameter of a model, by name.
template <class Backend>
std::map<std::string, host> values_of(Backend& d, const clipx::parameter_list<Backend>& parameters) {
  std::map<std::string, host> out;
  for (auto& p : parameters) {
    auto& v = out[p.name];
    v.resize(static_cast<std::size_t>(p.shape.count()));
    p.visit([&]<class E>(const mat<E>& m) { d.download(mat<const E>(m), mat<double>(v.data(), m.rows, m.cols)); });
  }
  d.sync();
  return out;
}

/// A model of drawn weights, and a batch for it.
template <class Encoder, class Backend>
struct trainee {
  clipx::clip_config config;
  clipx::trainable<Encoder, Backend> model, grad;
  std::vector<std::vector<std::int32_t>> texts = tiny_texts();
  std::vector<std::uint8_t> rgb;
  explicit trainee(Backend& d, const clipx::clip_config& c, const rounding& round = to_float) : config(c), model(d, c), grad(d, c) {
    draw_weights(d, clipx::parameters_of(model), round);
    const dim n = clipx::image_size(config).area();
    for (dim i = 0; i < static_cast<dim>(texts.size()) * n * 3; ++i) rgb.push_back(static_cast<std::uint8_t>(i * 2654435761 >> 20));
  }
  clipx::packed_texts packed = clipx::packed_texts::pack(texts, config.text);
  clipx::pair_view batch(std::span<const std::int32_t> chosen = {}) const { return {rgb, packed, chosen}; }
  /// Every parameter of a model, by name.
  std::map<std::string, host> values(clipx::trainable<Encoder, Backend>& of) {
    return values_of(of.device(), clipx::parameters_of(of));
  }
};

/// Loss and gradients of the batch.
template <class Trainee>
std::pair<double, std::map<std::string, host>> loss_and_gradients(Trainee& t, std::span<const std::int32_t> rows,
                                                                  const clipx::gradient_options& o) {
  clipx::optimizer(t.model).clear(t.grad.memory());
  clipx::pair_gradients step(t.model, {}, o);
  step(t.batch(rows), t.grad);
  return {step.loss(), t.values(t.grad)};
}

/// In chunks of any size the gradients are those of the whole batch: the same sums in another order, so the two are at most as far
/// apart as two results within a whole model's bar (test_model), which in bf16 is the model's own condition.
template <class Encoder, class Backend>
void chunks_equal_whole(Backend& d, const clipx::clip_config& c, dim patches) {
  using T = clipx::scalar_t<Backend>;
  constexpr bool half = std::is_same_v<T, clipx::bf16>;
  trainee<Encoder, Backend> t(d, c);
  const auto rows = model_case<Encoder>{c, false, clipx::keep::everything, patches}.chosen(static_cast<dim>(t.texts.size()));
  const auto [loss, whole] = loss_and_gradients(t, rows, {.batch_statistics = false});
  double largest = 0;
  for (auto& [name, values] : whole)
    for (double v : values) largest = std::max(largest, std::abs(v));
  REQUIRE(largest > 0);
  std::map<std::string, double> condition;  // how far gradients move when every weight moves by half a step of bf16
  if constexpr (half) {
    clipx::eigen<double> wide;
    unsigned n = 0;
    const auto nudged = [&](double v) { return rounding_of<T>()(v) * (1 + (++n * 2654435761u >> 31 ? 1 : -1) * epsilon<T>()); };
    trainee<Encoder, clipx::eigen<double>> still(wide, c, rounding_of<T>()), moved(wide, c, nudged);
    const auto at = loss_and_gradients(still, rows, {.batch_statistics = false}).second;
    for (auto& [name, values] : loss_and_gradients(moved, rows, {.batch_statistics = false}).second)
      condition[name] = distance(values, at.at(name));
  }
  for (dim chunk : {1, 3})
    for (auto kept : {clipx::keep::selective, clipx::keep::inputs}) {
      INFO("chunks of " << chunk);
      const auto [again, parts] =
          loss_and_gradients(t, rows, {.chunk = chunk, .loss_tile = 2, .kept = kept, .batch_statistics = false});
      // Features that are each within their bar (500 eps, or cosine 0.9995 in bf16), a scale of e^2.
      CHECK(std::abs(again - loss) <= 2 * std::exp(2) * std::min(500 * epsilon<T>(), 0.03));
      for (auto& [name, values] : whole) {
        INFO(name);
        if constexpr (half) {
          double size = norm(values);
          if (name.ends_with("k_proj.bias")) size = norm(whole.at(name.substr(0, name.size() - 4) + "weight"));  // it sums to 0
          const double error = distance(parts.at(name), values);
          INFO("error " << error << ", condition " << condition[name] << ", size " << size);
          CHECK(error <= 2 * 4 * (condition[name] + epsilon<T>() * size));
        } else {
          compare("d " + name, parts.at(name), values, 2 * std::min(1e-4, 2000 * epsilon<T>()), 1e-3 * largest);
        }
      }
    }
}

/// A few steps make the loss smaller; a locked tower keeps its bits; so do weights along zero gradients but for their decay.
template <class Encoder, class Backend>
void steps_learn(Backend& d, const clipx::clip_config& c, bool lock) {
  using model = clipx::trainable<Encoder, Backend>;
  if constexpr (requires { Backend::orders; })
    if (!c.vision.policy().has_patches()) return;  // half a minute on fibers
  trainee<Encoder, Backend> t(d, c);
  const auto before = t.values(t.model);
  clipx::optimizer adam(t.model, {.weight_decay = 0.1, .max_norm = 1, .average = 0.97},
                        [&](const std::string& name) { return !lock || !name.starts_with("visual."); });
  clipx::pair_gradients<model> step(t.model, {}, {.train_image = !lock, .batch_statistics = !lock});
  double first = 0, last = 0;
  for (int i = 0; i < 12; ++i) {
    step(t.batch(), t.grad);
    last = step.loss();
    if (i == 0) first = last;
    adam.update(t.grad.memory(), 5e-3);
  }
  INFO("loss " << first << " to " << last);
  CHECK(last < (lock ? 1 : 0.5) * first);
  CHECK(adam.count() == 12);
  const auto after = t.values(t.model);
  int moved = 0, kept = 0;
  for (auto& [name, values] : before) (after.at(name) == values ? kept : moved)++;
  CHECK(moved > 10);
  for (auto& [name, values] : before)
    if (lock && name.starts_with("visual.")) CHECK(after.at(name) == values);
  for (auto& [name, values] : t.values(t.grad)) CHECK(norm(values) == 0);
  int tensors = 0;
  adam.each_state([&](const std::string&, const clipx::shape&, auto) { ++tensors; });
  CHECK(tensors == 4 * static_cast<int>(before.size()));
  model mean(d, c);
  adam.average(mean.memory());
  const auto averaged = t.values(mean);
  CHECK(averaged.at("token_embedding.weight") != after.at("token_embedding.weight"));
  for (auto& [name, values] : before)  // what does not change is its own average, to the bit
    if (lock && name.starts_with("visual.")) CHECK(averaged.at(name) == values);
}
}  // namespace cases

TEST_CASE("gradient caching equals the whole batch") {
  using namespace cases;
  chunks_equal_whole<clipx::vit>(device(), tiny_vit(), 0);
  chunks_equal_whole<clipx::vit>(device(), tiny_vit(), 5);
  chunks_equal_whole<clipx::modified_resnet>(device(), tiny_resnet(), 0);
  trainee<clipx::modified_resnet, std::remove_reference_t<decltype(device())>> t(device(), tiny_resnet());
  clipx::pair_gradients step(t.model, {}, {.chunk = 2});
  CHECK_THROWS_WITH(step(t.batch(), t.grad), Contains("BatchNorm"));
}
TEST_CASE("steps learn, locked towers stay") {
  using namespace cases;
  for (bool lock : {false, true}) steps_learn<clipx::vit>(device(), tiny_vit(), lock);
  for (bool lock : {false, true}) steps_learn<clipx::modified_resnet>(device(), tiny_resnet(), lock);
}
TEST_CASE("AdamW against eigen<double>") {
  for (clipx::dim n : {1, 33, 1000, 70'000})
    for (double max_norm : {0.0, 0.5}) cases::test_adamw(device(), cases::adamw_case{n, max_norm});
}
#endif
