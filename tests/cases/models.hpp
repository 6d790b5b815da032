// Towers and the loss: forward, backward, keep modes, packing and pruning.
#pragma once
#include <clipx/checkpoint/embeddings.hpp>
#include <clipx/loss/contrastive.hpp>
#include <clipx/loss/sigmoid.hpp>

#include "tiny.hpp"

namespace cases {

template <class Loss>
struct loss_case {
  dim N, D;
  double log_scale = 3;
  bool identical = false;
  dim tile = 0;
  static constexpr bool sigmoid = std::is_same_v<Loss, clipx::sigmoid>;
  std::string name() const {
    return clipx::cat(sigmoid ? "sigmoid " : "contrastive ", N, "x", D, " t ", log_scale, tile ? clipx::cat(" tile ", tile) : "");
  }
  double reduction() const { return static_cast<double>(std::max(N, D)); }
  double constant() const { return 4 * std::exp(log_scale); }  // logits err like scale * eps
  double flops() const { return 2.0 * static_cast<double>(N * N * D); }

  template <class B>
  void run(harness<B>& h) const {
    using A = clipx::accum_t<B>;
    auto u = h.input("u", N, D), v = identical ? u : h.input("v", N, D);
    auto t = h.template input<A>("t", 1, 1, 0, log_scale);
    auto bias = h.template input<A>("bias", 1, 1, 0, -3);
    typename Loss::template loss<B> loss, grad;
    loss.logit_scale = t;
    if constexpr (sigmoid) loss.logit_bias = bias;
    const clipx::pair_features<B> features{.image = u, .text = v, .tile = tile};
    mat<A> out;
    h.part("forward", [&] { out = loss.forward(h.s, features); });
    h.output("loss", out);
    if constexpr (!harness<B>::is_complex) {
      clipx::walk(grad, [&](const std::string&, mat<A>& m, const clipx::shape&, clipx::role) {
        m = h.s.make_accum(1, 1);
        h.device.fill(m, A(0));
      });
      auto du = h.s.make(N, D), dv = h.s.make(N, D);
      h.part("both", [&] { out = loss.backward(h.s, features, grad, du, dv); });
      h.output("loss with gradients", out);
      h.gradient("t", grad.logit_scale);
      if constexpr (sigmoid) h.gradient("bias", grad.logit_bias);
      if (!identical) {
        h.gradient("u", du);
        h.gradient("v", dv);
      }
    }
  }
};

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
#include "driver.hpp"

namespace cases {

/// Bars of whole models: f64 and f32 relative to the largest value. For bf16 the bar is the model's own condition: how far the
/// results move when every input and weight moves by half a bf16 step, the root mean square of eight draws of signs. A
/// tower rounds its activations about as often as it has weight matrices, forward and backward, each time by less than that step,
/// so the errors are of that size; 4 is four deviations.
template <class Backend, class Case>
void test_model(Backend& d, const Case& c) {
  INFO(c.name());
  using T = clipx::scalar_t<Backend>;
  clipx::eigen<double> wide;
  harness<clipx::eigen<double>> want(wide, rounding_of<T>());
  auto got = run(d, c);
  c.run(want);
  REQUIRE(want.outputs.size() == 2);
  REQUIRE(want.gradients.size() > 20);
  if constexpr (std::is_same_v<T, clipx::bf16>) {
    unsigned n = 2;  // of the sequence of signs
    const auto nudged = [&](double v) { return rounding_of<T>()(v) * (1 + (++n * 2654435761u >> 31 ? 1 : -1) * epsilon<T>()); };
    using parts = harness<clipx::eigen<double>>;
    std::map<std::string, double> squares;  // one draw may miss what moves a small tensor, or the sign of a ReLU
    constexpr int draws = 8;
    for (int draw = 0; draw < draws; ++draw) {
      parts moved(wide, nudged);
      c.run(moved);
      for (auto part : {&parts::outputs, &parts::gradients})
        for (auto& [name, values] : want.*part) squares[name] += std::pow(distance((moved.*part)[name], values), 2);
    }
    for (auto part : {&parts::outputs, &parts::gradients})
      for (auto& [name, values] : want.*part) {
        const auto& mine = part == &parts::outputs ? got.outputs[name] : got.gradients[name];
        double size = norm(values);
        if (name.ends_with("k_proj.bias"))
          size = norm(want.gradients.at(name.substr(0, name.size() - 4) + "weight"));  // it sums to 0
        const double error = distance(mine, values), condition = std::sqrt(squares.at(name) / draws);
        INFO(name << ": error " << error << ", condition " << condition << ", size " << size);
        CHECK(error <= 4 * (condition + epsilon<T>() * size));
      }
    if (!c.training)
      for (auto& [name, values] : want.outputs) CHECK(cosine(got.outputs[name], values) >= 0.9995);
    return;
  }
  double largest = 0;  // a gradient that cancels to nothing (a key's bias) still errs like the terms it sums
  for (auto& [name, values] : want.gradients)
    for (double v : values) largest = std::max(largest, std::abs(v));
  for (auto& [name, values] : want.outputs) compare(name, got.outputs[name], values, 500 * epsilon<T>());
  for (auto& [name, values] : want.gradients)
    compare("d " + name, got.gradients[name], values, std::min(1e-4, 2000 * epsilon<T>()), 1e-3 * largest);
}

/// One forward text, four ways of keeping: the same bits.
template <class Backend, class Encoder>
void keep_modes_agree(Backend& d, const model_case<Encoder>& c) {
  const auto all = run(d, c);
  for (auto mode : {clipx::keep::nothing, clipx::keep::inputs, clipx::keep::selective}) {
    auto h = run(d, c, mode);
    INFO(c.name() << ", keep mode " << static_cast<int>(mode));
    for (auto& [name, values] : all.outputs) CHECK(h.outputs[name] == values);
    if (mode != clipx::keep::nothing)
      for (auto& [name, values] : all.gradients) {
        INFO(name);
        CHECK(h.gradients[name] == values);
      }
  }
}

/// The pruned last block and packed captions against all rows of padded ones.
template <class Backend>
void pruned_and_packed_equal_whole(Backend& d) {
  using T = clipx::scalar_t<Backend>;
  using A = clipx::accum_t<Backend>;
  const auto c = tiny_vit();
  const auto texts = tiny_texts();
  const dim N = static_cast<dim>(texts.size()), n = clipx::image_size(c).area(), D = c.embed_dim;
  harness<Backend> h(d, rounding_of<T>(), clipx::keep::nothing);
  clipx::clip<clipx::vit, Backend> model(d, c, {});
  auto memory = h.parameters(model, 0.15);
  typename clipx::clip<clipx::vit, Backend>::saved k, whole;
  auto pixels = h.input("pixels", N * n, 3);
  h.output("image", model.encode_image(h.s, mat<const T>(pixels), k));
  h.output("text", model.encode_text(h.s, clipx::packed_texts::pack(texts, c.text), k));

  auto tokens = model.visual.hidden(h.s, mat<const T>(pixels), whole.visual).every(model.visual.tokens());
  auto image = h.s.make(N, D), text = h.s.make(N, D);
  d.gemm(clipx::op::none, clipx::op::none, A(1), mat<const T>(tokens), mat<const T>(model.visual.proj), A(0), image);
  clipx::packed_texts padded;
  std::vector<std::int32_t> pooled;
  for (auto row : texts) {
    pooled.push_back(static_cast<std::int32_t>(padded.ids.size() + row.size() - 1));
    row.resize(static_cast<std::size_t>(c.text.context_length), 0);
    for (std::size_t i = 0; i < row.size(); ++i) {
      padded.ids.push_back(row[i]);
      padded.positions.push_back(static_cast<std::int32_t>(i));
    }
    padded.lengths.push_back(static_cast<std::int32_t>(row.size()));
  }
  auto hidden = model.text.hidden(h.s, padded, whole.text), ends = h.s.make(N, c.text.width);
  d.gather_rows(mat<const T>(hidden), h.s.ids(pooled), ends);
  d.gemm(clipx::op::none, clipx::op::none, A(1), mat<const T>(ends), mat<const T>(model.text.text_projection), A(0), text);
  h.output("whole image", image);
  h.output("whole text", text);
  const double tolerance = 64 * epsilon<T>();
  compare("pruned image", h.outputs["image"], h.outputs["whole image"], tolerance);
  compare("packed text", h.outputs["text"], h.outputs["whole text"], tolerance);
}

/// A row of padding changes an embedding of a model that is not causal, and one that is missing is an error.
template <class Encoder, class Backend>
void sees_padding(Backend& d, const clipx::clip_config& c) {
  using T = clipx::scalar_t<Backend>;
  auto texts = tiny_texts(c.text);
  texts[1] = texts[0];
  texts[1].back() = 2;
  harness<Backend> h(d, rounding_of<T>(), clipx::keep::nothing);
  clipx::clip<Encoder, Backend> model(d, c, {});
  auto memory = h.parameters(model, 0.15);
  typename clipx::clip<Encoder, Backend>::saved k;
  h.output("text", model.encode_text(h.s, clipx::packed_texts::pack(texts, c.text), k));
  const auto& all = h.outputs["text"];
  const auto D = static_cast<std::ptrdiff_t>(c.embed_dim);
  CHECK(host(all.begin(), all.begin() + D) != host(all.begin() + D, all.begin() + 2 * D));
  texts[0].pop_back();
  CHECK_THROWS_AS(clipx::packed_texts::pack(texts, c.text), clipx::error);
}

/// After the first step of a kind the arena asks the device for nothing.
template <class Backend>
void arena_settles(Backend& d) {
  const model_case<clipx::vit> c{tiny_vit()};
  auto run = [&] {
    harness<Backend> h(d, rounding_of<clipx::scalar_t<Backend>>());
    c.run(h);
  };
  run();
  const auto held = d.memory().capacity();
  run();
  CHECK(d.memory().capacity() == held);
}

/// A recorded forward gives the bits of a direct one, again and for other images; and what it cannot do is an error.
template <class Backend, class Encoder>
void replay_equals_direct(Backend& d, const clipx::clip_config& c) {
  if constexpr (Backend::fast::replay) {
    harness<Backend> h(d, rounding_of<clipx::scalar_t<Backend>>(), clipx::keep::nothing);
    clipx::clip<Encoder, Backend> model(d, c, {});
    auto memory = h.parameters(model, 0.15);
    const std::array<float, 3> mean{0.48f, 0.46f, 0.41f}, std{0.27f, 0.26f, 0.28f};
    const dim n = clipx::image_size(c).area();
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(2 * n * 3));
    const clipx::replayed_pixels<Encoder, Backend> recorded(model, 2, mean, std);
    for (unsigned round = 0; round < 2; ++round) {
      for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> (20 + round));
      const auto direct = clipx::embed_pixels(model, std::span<const std::uint8_t>(rgb), mean, std);  // other row ranges go up
      CHECK(recorded(rgb).values == direct.values);
    }
    CHECK_THROWS_AS(recorded(std::span<const std::uint8_t>(rgb).first(rgb.size() - 1)), clipx::error);
    float one = 0;
    auto held = h.s.make_accum(1, 1);
    CHECK_THROWS_AS(d.record([&] { d.download(mat<const clipx::accum_t<Backend>>(held), mat<float>(&one, 1, 1)); }), clipx::error);
    CHECK_THROWS_AS(d.record([&] { d.memory().template take<float>(1, 1); }), clipx::error);
    d.fill(held, clipx::accum_t<Backend>(2));  // and the device goes on
    d.download(mat<const clipx::accum_t<Backend>>(held), mat<float>(&one, 1, 1));
    CHECK(one == 2);
  }
}

/// The loss is float for bf16 features too. Logits err like scale * eps; gradients by that times their own bound, scale / N,
/// plus what their storage rounds.
template <class Backend, class Loss>
void test_loss(Backend& d, const loss_case<Loss>& c) {
  using T = clipx::scalar_t<Backend>;
  using A = clipx::accum_t<Backend>;
  INFO(c.name());
  clipx::eigen<double> wide;
  harness<clipx::eigen<double>> want(wide, rounding_of<T>());
  auto got = run(d, c);
  auto dense = c;  // the reference: all at once
  dense.tile = 0;
  dense.run(want);
  const double scale = std::exp(c.log_scale), noise = 8 * epsilon<A>() * scale, N = static_cast<double>(c.N);
  auto near = [&](double g, double w, double limit) {
    INFO("got " << g << ", want " << w << ", limit " << limit);
    CHECK(std::abs(g - w) <= limit);
  };
  const double of_loss = want.outputs["loss"][0],
               sums = c.sigmoid ? epsilon<A>() * N : 0;  // the sigmoid's has N^2 terms of one sign
  for (auto* name : {"loss", "loss with gradients"})
    near(got.outputs[name][0], of_loss, noise + (sums + 1e-6 * (epsilon<A>() > 1e-10)) * of_loss);
  // dL/dt sums N^2 terms of at most 2 scale in all; the sigmoid's, which is no distribution, N.
  const double terms = c.sigmoid ? N : 1;
  near(got.gradients["t"][0], want.gradients["t"][0], (noise + 2 * epsilon<A>() * N) * scale * terms);
  if (c.sigmoid) near(got.gradients["bias"][0], want.gradients["bias"][0], (noise + 2 * epsilon<A>() * N) * terms);
  double along = 0, size = 0;  // <u, du> = 0: the loss sees directions alone
  for (auto* name : {"u", "v"})
    for (std::size_t i = 0; i < want.gradients[name].size(); ++i) {
      const double w = want.gradients[name][i];
      if (std::abs(got.gradients[name][i] - w) > terms * noise * scale / N + 2 * epsilon<T>() * std::abs(w))
        near(got.gradients[name][i], w, 0);
    }
  const auto features = draw("u", c.N * c.D, 1);
  for (std::size_t i = 0; i < want.gradients["u"].size(); ++i) {
    const double term = got.gradients["u"][i] * rounding_of<T>()(features[i]);
    along += term;
    size += std::abs(term);
  }
  near(along, 0, 4 * epsilon<T>() * size + terms * noise * scale);
}

}  // namespace cases

TEST_CASE("models against eigen<double>") {
  using namespace cases;
  test_model(device(), model_case<clipx::vit>{tiny_vit()});
  test_model(device(), model_case<clipx::vit>{tiny_vit(clipx::activation::gelu, 80)});
  test_model(device(), model_case<clipx::vit>{tiny_vit(), false, clipx::keep::everything, 5});
  test_model(device(), model_case<clipx::siglip_vit>{tiny_siglip()});
  test_model(device(), model_case<clipx::siglip_vit>{tiny_siglip(72, false)});
  test_model(device(), model_case<clipx::convnext>{tiny_convnext()});
  test_model(device(), model_case<clipx::convnext>{tiny_convnext(true)});
  for (bool positions : {true, false}) test_model(device(), model_case<clipx::vitamin>{tiny_vitamin(positions)});
  test_model(device(), model_case<clipx::bert_vit>{tiny_bert()});
  test_model(device(), model_case<clipx::bert_vit>{tiny_bert(false, 72)});
  test_model(device(), model_case<clipx::m2m_vit>{tiny_m2m()});
  test_model(device(), model_case<clipx::m2m_siglip_vit>{tiny_m2m(false)});
  for (int kind : {0, 1, 2}) test_model(device(), model_case<clipx::plain_vit>{tiny_plain(kind)});
  for (int kind : {0, 1, 2, 3}) test_model(device(), model_case<clipx::eva_vit>{tiny_eva(kind)});
  test_model(device(), model_case<clipx::eva_vit>{tiny_eva(0, 84)});
  for (bool training : {false, true}) test_model(device(), model_case<clipx::mci_vit>{tiny_mci(), training});
  test_model(device(), model_case<clipx::modified_resnet>{tiny_resnet()});
  test_model(device(), model_case<clipx::modified_resnet>{tiny_resnet(), true});
}
TEST_CASE("keep modes agree to the bit") {
  using namespace cases;
  keep_modes_agree(device(), model_case<clipx::vit>{tiny_vit()});
  keep_modes_agree(device(), model_case<clipx::siglip_vit>{tiny_siglip()});
  keep_modes_agree(device(), model_case<clipx::convnext>{tiny_convnext()});
  keep_modes_agree(device(), model_case<clipx::convnext>{tiny_convnext(true)});
  for (bool positions : {true, false}) keep_modes_agree(device(), model_case<clipx::vitamin>{tiny_vitamin(positions)});
  keep_modes_agree(device(), model_case<clipx::bert_vit>{tiny_bert()});
  keep_modes_agree(device(), model_case<clipx::bert_vit>{tiny_bert(false)});
  keep_modes_agree(device(), model_case<clipx::m2m_vit>{tiny_m2m()});
  for (int kind : {0, 1, 2}) keep_modes_agree(device(), model_case<clipx::plain_vit>{tiny_plain(kind)});
  for (int kind : {0, 1, 2}) keep_modes_agree(device(), model_case<clipx::eva_vit>{tiny_eva(kind)});
  keep_modes_agree(device(), model_case<clipx::mci_vit>{tiny_mci(), true});  // in inference BatchNorm may be folded
}
TEST_CASE("padding is a part of a text where the tower is not causal") {
  cases::sees_padding<clipx::siglip_vit>(device(), cases::tiny_siglip());
  for (int kind : {0, 1, 2}) cases::sees_padding<clipx::plain_vit>(device(), cases::tiny_plain(kind));
}
TEST_CASE("pruned and packed equal whole") { cases::pruned_and_packed_equal_whole(device()); }
TEST_CASE("a recorded forward equals a direct one") {
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::vit>(device(), cases::tiny_vit());
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::modified_resnet>(device(), cases::tiny_resnet());
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::siglip_vit>(device(), cases::tiny_siglip());
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::convnext>(device(), cases::tiny_convnext());
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::vitamin>(device(), cases::tiny_vitamin());
  cases::replay_equals_direct<std::remove_reference_t<decltype(device())>, clipx::eva_vit>(device(), cases::tiny_eva(0));
}
TEST_CASE("steps allocate once") { cases::arena_settles(device()); }
TEST_CASE("contrastive loss against eigen<double>") {
  using namespace cases;
  using contrastive = loss_case<clipx::contrastive>;
  for (dim N : {1, 2, 33, 257}) {
    test_loss(device(), contrastive{N, 16});
    test_loss(device(), contrastive{N, 31, clipx::max_log_scale});
  }
  test_loss(device(), contrastive{33, 16, 2, true});
}
TEST_CASE("losses in tiles, and the sigmoid loss, against eigen<double>") {
  using namespace cases;
  for (dim N : {1, 2, 33})
    for (dim tile : {0, 16}) {
      test_loss(device(), loss_case<clipx::contrastive>{N, 16, 3, false, tile});
      test_loss(device(), loss_case<clipx::sigmoid>{N, 16, 2, false, tile});
      test_loss(device(), loss_case<clipx::contrastive>{N, 31, clipx::max_log_scale, false, tile});
    }
  test_loss(device(), loss_case<clipx::contrastive>{257, 16, 3, false, 100});
  test_loss(device(), loss_case<clipx::sigmoid>{257, 16, 3, false, 100});
}
#ifdef CLIPX_REFERENCE
TEST_CASE("gradients of the models against the complex step") {
  using namespace cases;
  grad(model_case<clipx::vit>{tiny_vit()});
  grad(model_case<clipx::vit>{tiny_vit(), false, clipx::keep::everything, 5});
  grad(model_case<clipx::siglip_vit>{tiny_siglip()});
  grad(model_case<clipx::siglip_vit>{tiny_siglip(72, false)});
  grad(model_case<clipx::convnext>{tiny_convnext()});
  grad(model_case<clipx::convnext>{tiny_convnext(true)});
  for (bool positions : {true, false}) grad(model_case<clipx::vitamin>{tiny_vitamin(positions)});
  grad(model_case<clipx::bert_vit>{tiny_bert()});
  grad(model_case<clipx::bert_vit>{tiny_bert(false)});
  grad(model_case<clipx::m2m_vit>{tiny_m2m()});
  grad(model_case<clipx::m2m_siglip_vit>{tiny_m2m(false)});
  grad(model_case<clipx::plain_vit>{tiny_plain(2)});  // the other choices: golden files, to 1e-10
  grad(model_case<clipx::eva_vit>{tiny_eva(3)});
  grad(model_case<clipx::mci_vit>{tiny_mci(), true});
  grad(model_case<clipx::modified_resnet>{tiny_resnet()});
  grad(model_case<clipx::modified_resnet>{tiny_resnet(), true});
}
TEST_CASE("gradients of the loss against the complex step") {
  for (clipx::dim N : {1, 2, 33})
    for (clipx::dim tile : {0, 7}) {
      cases::grad(cases::loss_case<clipx::contrastive>{N, 16, 3, false, tile});
      cases::grad(cases::loss_case<clipx::sigmoid>{N, 16, 3, false, tile});
    }
}
#endif
#endif
