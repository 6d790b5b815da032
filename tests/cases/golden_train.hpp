// Ten steps of training against open_clip's own loop (tests/golden/training.py): the loss of each step, and every weight and
// running statistic after the last. Bars, relative to a tensor's norm:
//   double  losses 1e-10; weights 1e-7, of which 6e-8 are the file's float32
//   float   against PyTorch's float32: losses 1e-5; weights 1e-4, of which the script leaves 1e-5 to PyTorch's own distance
//           A ReLU of the ResNet that is at its kink in some step may fall the other way, and the losses after it differ by 1e-5 to
//           1e-3 (PyTorch's do so too). Then the run must be, to the same bars, one that double takes when its weights start an ulp
//           away.
//   bf16    four times the condition of training: how far ten steps end up from these when each weight starts half a bf16 step away
// A weight decays by 1.2e-3 in these steps, so weights say which are in the group that does. With this eps, 1e-6, Adam moves what
// has no gradient but rounding (a key's bias) by less than all bars, but not in bf16.
#pragma once
#include <clipx/architectures/list.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/train/gradients.hpp>
#include <clipx/train/optimizer.hpp>
#include <clipx/train/schedule.hpp>
#include <random>

#include "golden_file.hpp"

namespace cases {

inline constexpr dim training_steps = 10;

/// The batch of a step, as the script draws it.
struct drawn_pairs {
  std::vector<std::uint8_t> rgb;
  std::vector<std::vector<std::int32_t>> texts;
  drawn_pairs(dim step, const clipx::clip_config& c) {
    constexpr dim pairs = 8;
    std::mt19937 draw(static_cast<std::uint32_t>(step + 1));
    for (dim i = 0; i < pairs * clipx::image_size(c).area() * 3; ++i) rgb.push_back(static_cast<std::uint8_t>(draw() >> 24));
    for (dim i = 0; i < pairs; ++i) {
      auto& text = texts.emplace_back(1, 62);
      for (auto left = draw() % 11; left > 0; --left) text.push_back(static_cast<std::int32_t>(1 + draw() % 61));
      text.push_back(63);
    }
  }
};

struct trained {
  host losses;
  std::map<std::string, host> weights;  // and running statistics, under the file's names
  bool operator==(const trained&) const = default;
};

template <class Encoder, class Backend, class F>
trained train(Backend& d, const clipx::checkpoint& source, const clipx::gradient_options& o, F&& start) {
  clipx::trainable<Encoder, Backend> model(d, source.config()), grad = model.zeros_like();
  upload_weights(source, model, start);
  clipx::optimizer adam(model, {.beta1 = 0.9, .beta2 = 0.98, .eps = 1e-6, .weight_decay = 0.2, .max_norm = 1});
  clipx::pair_gradients gradients(model, source.pixels(), o);
  const clipx::cosine_schedule rate{.peak = 1e-3, .warmup = 3, .total = training_steps};
  trained out;
  for (dim i = 0; i < training_steps; ++i) {
    const drawn_pairs batch(i, source.config());
    gradients({batch.rgb, clipx::packed_texts::pack(batch.texts, source.config().text), {}}, grad);
    out.losses.push_back(gradients.loss());
    adam.update(grad.memory(), rate(i));
  }
  clipx::walk(model, [&]<class E>(const std::string& name, mat<E>& m, const clipx::shape&, clipx::role) {
    host values(static_cast<std::size_t>(m.size()));
    d.download(mat<const E>(m), mat<double>(values.data(), m.rows, m.cols));
    d.sync();
    for (auto& [key, part] : as_stored(source.config(), name, clipx::layout::open_clip, values, m.rows, m.cols))
      out.weights[key] = part;
  });
  return out;
}

/// |got - want| <= bar * |want| + slack, norms of vectors.
inline void compare_lengths(const std::string& what, const host& got, const host& want, double bar, double slack = 0) {
  REQUIRE(got.size() == want.size());
  const double error = distance(got, want), limit = bar * norm(want) + slack;
  INFO(what << ": error " << error << ", relative to its norm " << error / norm(want) << ", error / limit " << error / limit);
  CHECK(error <= limit);
}

inline bool agree(const trained& got, const trained& want, double of_losses, double of_weights) {
  for (std::size_t i = 0; i < want.losses.size(); ++i)
    if (std::abs(got.losses[i] - want.losses[i]) > of_losses * std::abs(want.losses[i])) return false;
  for (auto& [key, values] : got.weights)
    if (distance(values, want.weights.at(key)) > of_weights * norm(want.weights.at(key))) return false;
  return true;
}

/// Takes the keys' part out of attention's biases.
inline host without_keys(const std::string& name, host bias) {
  if (name.ends_with("k_proj.bias")) return {};
  const auto third = static_cast<std::ptrdiff_t>(bias.size() / 3);
  if (name.ends_with("in_proj_bias")) bias.erase(bias.begin() + third, bias.begin() + 2 * third);
  return bias;
}

template <class Encoder, class Backend>
void golden_training(Backend& d, const std::string& name, const clipx::gradient_options& o) {
  using T = clipx::scalar_t<Backend>;
  INFO(name << ", chunks of " << o.chunk << ", tiles of " << o.loss_tile);
  const std::string folder = CLIPX_SOURCE_DIR "/tests/golden/models/" + name;
  const auto source = clipx::checkpoint::open(folder);
  const golden_file g(folder + "/training.safetensors");
  // In one order of the device's threads: that results do not depend on it, the cases of what a step is made of show.
  const auto got = train<Encoder>(d, source, o, [](float v) { return v; });
  REQUIRE(got.losses.size() == static_cast<std::size_t>(training_steps));

  if constexpr (std::is_same_v<T, clipx::bf16>) {
    clipx::eigen<double> wide;
    unsigned n = 0;
    const auto nudged = [&](float v) {
      return static_cast<float>(rounding_of<T>()(v) * (1 + (++n * 2654435761u >> 31 ? 1 : -1) * epsilon<T>()));
    };
    const auto moved = train<Encoder>(wide, source, o, nudged);
    const auto near = [&](const std::string& what, const host& mine, const host& other, const host& want) {
      compare_lengths(what, mine, want, 4 * epsilon<T>(), 4 * distance(other, want));
    };
    near("loss", got.losses, moved.losses, g.values("loss"));
    for (auto& [key, values] : got.weights)
      near(key, without_keys(key, values), without_keys(key, moved.weights.at(key)), without_keys(key, g.values(key)));
  } else {
    constexpr bool wide = std::is_same_v<T, double>;
    trained want{g.values(wide ? "loss" : "loss.float32"), {}};
    for (auto& [key, values] : got.weights) want.weights[key] = g.values(key);
    constexpr double of_losses = wide ? 1e-10 : 1e-5, of_weights = wide ? 1e-7 : 9e-5;
    if constexpr (!wide && std::is_same_v<Encoder, clipx::modified_resnet>) {
      clipx::eigen<double> other;
      for (unsigned draw = 0; draw < 48 && !agree(got, want, of_losses, of_weights); ++draw) {
        std::mt19937 bits(draw);
        want = train<Encoder>(other, source, o, [&](float v) { return v * (1 + (bits() >> 31 ? 1.0f : -1.0f) * 0x1p-23f); });
      }
    }
    for (std::size_t i = 0; i < want.losses.size(); ++i)
      compare_lengths(clipx::cat("loss of step ", i), {got.losses[i]}, {want.losses[i]}, of_losses);
    for (auto& [key, values] : got.weights) compare_lengths(key, values, want.weights.at(key), of_weights);
  }
  for (auto& left : g.unread("")) CHECK(left.starts_with("loss"));
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
TEST_CASE("ten steps of training as open_clip takes them") {
  using clipx::keep, clipx::vit, clipx::modified_resnet;
  cases::golden_training<vit>(device(), "vit_quick_gelu", {});
  cases::golden_training<vit>(device(), "vit_quick_gelu", {.chunk = 3, .loss_tile = 3, .kept = keep::inputs});
  cases::golden_training<modified_resnet>(device(), "resnet", {});
  cases::golden_training<modified_resnet>(device(), "resnet", {.loss_tile = 5, .kept = keep::everything});
}
#endif
