// Golden files: the tiny checkpoints of tests/golden/models, loaded by the library's own reader, against what PyTorch computes on
// them. Bars (relative to a tensor's largest entry): double 1e-10; float 1e-5 on L2-normalized embeddings, 1e-6 on the loss, 1e-4
// on gradients; bf16 by the cosine of embeddings.
#pragma once
#include <clipx/checkpoint/pretrained.hpp>
#include <clipx/loss/contrastive.hpp>
#include <clipx/loss/sigmoid.hpp>
#include <clipx/train/trainable.hpp>

#include "golden_file.hpp"

namespace cases {

struct golden_bars {
  double features, unit, loss, gradient, cosine;
};
template <class T>
golden_bars bars() {
  if constexpr (std::is_same_v<T, double>) return {1e-10, 1e-10, 1e-10, 1e-10, 1 - 1e-14};
  else if constexpr (std::is_same_v<T, float>) return {1e-4, 1e-5, 1e-6, 1e-4, 0.999999};
  else return {0, 0, 0, 0, 0.9995};
}

/// L2-normalized rows: each by its cosine and, but for bf16, by its largest error.
template <class T>
void compare_unit_rows(const std::string& what, const host& got, const host& want, dim rows) {
  INFO(what);
  REQUIRE(got.size() == want.size());
  const auto b = bars<T>();
  const auto n = static_cast<std::ptrdiff_t>(want.size()) / rows;
  for (dim r = 0; r < rows; ++r) {
    const host g(got.begin() + r * n, got.begin() + (r + 1) * n), w(want.begin() + r * n, want.begin() + (r + 1) * n);
    INFO("row " << r << ": 1 - cosine " << 1 - cosine(g, w));
    CHECK(cosine(g, w) >= b.cosine);
  }
  if (b.unit > 0) compare(what, got, want, b.unit, 1);
}

inline std::vector<host> fetched;  // what a test took from the device so far
template <class Backend, class E>
host fetch(Backend& d, mat<E> m) {
  host out(static_cast<std::size_t>(m.size()));
  d.download(mat<const std::remove_const_t<E>>(m), mat<double>(out.data(), m.rows, m.cols));
  d.sync();
  fetched.push_back(out);
  return out;
}
/// The whole test in each order of the backend's threads: what it fetched has the same bits.
template <class Backend, class F>
void golden_test(Backend& d, F&& body) {
  in_every_order(d, [&] {
    fetched.clear();
    body();
    return fetched;
  });
}

/// Features, embeddings, logits, loss and every gradient of one model; `prefix` "train." for batch statistics.
template <class Encoder, class Loss, class Backend>
void golden_model(Backend& d, const std::string& name, const std::string& prefix = "") {
  using T = clipx::scalar_t<Backend>;
  using A = clipx::accum_t<Backend>;
  INFO(name << " " << prefix);
  const std::string folder = CLIPX_SOURCE_DIR "/tests/golden/models/" + name;
  const auto source = clipx::checkpoint::open(folder);
  const golden_file g(folder + "/golden.safetensors");
  const auto keys = name.starts_with("hf") ? clipx::layout::hf : clipx::layout::open_clip;
  const bool training = !prefix.empty();
  const auto b = bars<T>();
  const dim N = g.rows("pixels");
  const auto pixels = g.pixels();
  const auto tokens = g.tokens();

  clipx::trainable<Encoder, Backend, Loss> whole(d, source.config()), whole_grad = whole.zeros_like();
  auto &model = whole.towers, &grad = whole_grad.towers;
  upload_weights(source, whole);

  clipx::step<Backend> s(d, clipx::keep::everything);
  typename clipx::clip<Encoder, Backend>::saved k;
  auto rows = s.make(static_cast<dim>(pixels.size()) / 3, 3);  // (N n n, 3)
  d.upload(mat<const float>(pixels.data(), rows.rows, 3), rows);
  auto image = model.encode_image(s, mat<const T>(rows), k, training);
  auto text = model.encode_text(s, clipx::packed_texts::pack(tokens, source.config().text), k);
  auto d_image = s.make(N, image.cols), d_text = s.make(N, text.cols);
  const auto loss_value = whole.loss.backward(s, {.image = image, .text = text}, whole_grad.loss, d_image, d_text);
  model.backward(s, k, mat<const T>(d_image), mat<const T>(d_text), grad);

  const std::pair<const char*, mat<T>> towers[] = {{"image", image}, {"text", text}};
  clipx::embeddings<A> unit[2];
  for (int i : {0, 1}) {
    const std::string which = prefix + towers[i].first;
    auto features = fetch(d, towers[i].second);
    if (b.features > 0) compare(which + "_features", features, g.values(which + "_features"), b.features);
    clipx::detail::append_unit_rows<Backend>(s, mat<const T>(towers[i].second), unit[i]);
    compare_unit_rows<T>(which + "_embeds", {unit[i].values.begin(), unit[i].values.end()}, g.values(which + "_embeds"), N);
  }
  if (b.loss > 0) {
    const double scale = std::exp(fetch(d, whole.loss.logit_scale)[0]);
    const auto cosine_table = clipx::cosines(d, unit[0], unit[1]);
    host logits;
    for (A c : cosine_table) logits.push_back(scale * static_cast<double>(c));
    // an embedding's error reaches a cosine times the norm of the other, 1
    compare(prefix + "logits_per_image", logits, g.values(prefix + "logits_per_image"), b.unit, scale);
    // Batch statistics: moving every weight and pixel by half a float step moves this loss by 7.1e-7 (root mean square of twelve
    // draws in float64), and four deviations of that are allowed; PyTorch's own float32 is 8.6e-7 away.
    const double loss = training && std::is_same_v<T, float> ? 2.8e-6 : b.loss;
    compare(prefix + "loss", fetch(d, loss_value), g.values(prefix + "loss"), loss);
  }

  double largest = 0;  // what a gradient that cancels to nothing is measured against
  std::vector<std::pair<std::string, host>> gradients;
  clipx::walk(whole_grad, [&]<class E>(const std::string& key, mat<E>& m, const clipx::shape&, clipx::role r) {
    if (r != clipx::role::weight) return;
    for (auto& part : as_stored(source.config(), key, keys, fetch(d, m), m.rows, m.cols)) gradients.push_back(part);
  });
  REQUIRE(gradients.size() > 30);
  for (auto& [key, got] : gradients)
    for (double v : g.values(prefix + "grad." + key)) largest = std::max(largest, std::abs(v));
  CHECK(g.unread(prefix + "grad.").empty());
  if (b.gradient > 0)
    for (auto& [key, got] : gradients) {
      const auto want = g.values(prefix + "grad." + key);
      double top = 0;
      for (double v : want) top = std::max(top, std::abs(v));
      compare("d " + key, got, want, b.gradient, top < 1e-12 * largest ? largest : 1e-30);
    }

  if constexpr (requires { model.visual.update_statistics(s, k.visual); })
    if (training) model.visual.update_statistics(s, k.visual);
  if (training && b.features > 0) {
    int statistics = 0;
    clipx::walk(model, [&]<class E>(const std::string& key, mat<E>& m, const clipx::shape&, clipx::role r) {
      if (r == clipx::role::buffer) {
        for (auto& [stored, got] : as_stored(source.config(), key, keys, fetch(d, m), m.rows, m.cols))
          compare(stored, got, g.values(prefix + "state." + stored), b.features);
        ++statistics;
      }
    });
    CHECK((statistics > 0 && g.unread(prefix + "state.").empty()));  // each of the file's
    CHECK(g.unread(prefix + "state.").empty());
  }
}

/// The way that users take: load() freezes the weights, embeds without keeping anything.
template <class Encoder, class Backend>
void golden_embeddings(Backend& d, const std::string& name) {
  INFO(name);
  const std::string folder = CLIPX_SOURCE_DIR "/tests/golden/models/" + name;
  const auto model = clipx::load<Encoder>(d, folder);
  const golden_file g(folder + "/golden.safetensors");
  const auto rows = [](const auto& e) { return fetched.emplace_back(e.values.begin(), e.values.end()); };
  const dim N = g.rows("pixels");
  using T = clipx::scalar_t<Backend>;
  compare_unit_rows<T>("images", rows(clipx::embed_normalized(model.model(), g.pixels())), g.values("image_embeds"), N);
  const auto n = static_cast<std::size_t>(clipx::image_size(model.source().config()).area());
  std::vector<std::uint8_t> rgb(2 * n * 3);
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<std::uint8_t>(i * 2654435761u >> 20);
  const auto first = model.encode_pixels(rgb).values;
  for (int again = 0; again < 2; ++again)
    CHECK(model.encode_pixels(rgb).values == first);  // recorded and replayed where that is fast
  // One image plus two bytes, and an image that is shorter than its sizes say.
  CHECK_THROWS_AS(model.encode_pixels(std::span(rgb).first(n * 3 + 2)), clipx::error);
  CHECK_THROWS_AS(clipx::embed_pixels(model.model(), std::span<const std::uint8_t>(rgb).first(n * 3 - 3),
                                      model.source().pixels().mean, model.source().pixels().std),
                  clipx::error);
  CHECK_THROWS_AS(clipx::embed_normalized(model.model(), std::span<const float>(g.pixels()).first(n * 3 + 2)), clipx::error);
  clipx::image cut = clipx::make_image(clipx::pixel_mode::rgb, 50, 40);
  cut.data.resize(50 * 40);
  CHECK_THROWS_AS(model.encode_image(cut), clipx::error);
  for (dim tokens : {1, 4096})  // each text in a step of its own; all in one
    compare_unit_rows<T>("texts", rows(clipx::embed_tokens(model.model(), g.tokens(), tokens)), g.values("text_embeds"), N);
}

}  // namespace cases

#ifdef CATCH_VERSION_MAJOR
namespace cases {
template <class Encoder, class Loss = clipx::contrastive>
void golden_models(std::initializer_list<const char*> names, const std::string& prefix = "") {
  for (auto* name : names) golden_test(device(), [&] { golden_model<Encoder, Loss>(device(), name, prefix); });
}
}  // namespace cases

TEST_CASE("golden vision transformers in open_clip's layout") {
  cases::golden_models<clipx::vit>({"vit_quick_gelu", "vit_gelu_hw80", "oblong_vit"});
}
TEST_CASE("golden ModifiedResNet") { cases::golden_models<clipx::modified_resnet>({"resnet"}); }
TEST_CASE("golden ModifiedResNet with batch statistics") {
  device();  // skips where there is none
  // in bf16 a batch of 16 rows has the condition that models.hpp measures, not a fixed bar
  if constexpr (!std::is_same_v<clipx::scalar_t<backend_t>, clipx::bf16>)
    cases::golden_models<clipx::modified_resnet>({"resnet"}, "train.");
}
TEST_CASE("golden models in Hugging Face's layout") { cases::golden_models<clipx::vit>({"hf_eos2", "hf_eos", "hf_metaclip_2"}); }
TEST_CASE("golden SigLIP, in both layouts") {
  cases::golden_models<clipx::siglip_vit, clipx::sigmoid>({"siglip", "siglip_2", "siglip_none", "hf_siglip", "oblong_siglip"});
}
TEST_CASE("golden ConvNeXt") { cases::golden_models<clipx::convnext>({"convnext", "convnext_mlp"}); }
TEST_CASE("golden ViTamin") { cases::golden_models<clipx::vitamin>({"vitamin", "vitamin_xl"}); }
TEST_CASE("golden vision transformers with a RoBERTa as the text tower") {
  cases::golden_models<clipx::bert_vit>({"xlm_roberta", "roberta_cls"});
}
TEST_CASE("golden models with the encoder of an NLLB as the text tower") { cases::golden_models<clipx::m2m_vit>({"nllb"}); }
TEST_CASE("golden vision transformers with other choices") {
  cases::golden_models<clipx::plain_vit>({"plain_clipa", "plain_options", "plain_text", "plain_timm_clip", "plain_timm_avg",
                                          "plain_timm_linear", "plain_timm_none", "plain_scaled", "plain_timm_gap", "oblong_timm"});
}
TEST_CASE("golden EVA and PE-Core") {
  cases::golden_models<clipx::eva_vit>({"eva_01", "eva_02", "eva_02_mean", "eva_02_post", "eva_pe", "eva_pe_big"});
}
TEST_CASE("golden MobileCLIP-B") { cases::golden_models<clipx::mci_vit>({"plain_mci"}); }
TEST_CASE("golden MobileCLIP-B with batch statistics") {
  device();                                                                // skips where there is none
  if constexpr (!std::is_same_v<clipx::scalar_t<backend_t>, clipx::bf16>)  // as of ModifiedResNet
    cases::golden_models<clipx::mci_vit>({"plain_mci"}, "train.");
}
TEST_CASE("golden embeddings as users get them") {
  cases::golden_test(device(), [] {
    for (auto* name : {"xlm_roberta", "roberta_cls"}) cases::golden_embeddings<clipx::bert_vit>(device(), name);
    cases::golden_embeddings<clipx::m2m_vit>(device(), "nllb");
    for (auto* name : {"plain_clipa", "plain_options", "plain_timm_clip", "plain_timm_linear"})
      cases::golden_embeddings<clipx::plain_vit>(device(), name);
    cases::golden_embeddings<clipx::mci_vit>(device(), "plain_mci");
    for (auto* name : {"eva_02", "eva_02_post", "eva_pe"}) cases::golden_embeddings<clipx::eva_vit>(device(), name);
    for (auto* name : {"siglip", "siglip_2", "siglip_none", "hf_siglip", "oblong_siglip"})
      cases::golden_embeddings<clipx::siglip_vit>(device(), name);
    for (auto* name : {"vit_quick_gelu", "vit_gelu_hw80", "hf_eos2", "hf_eos"})
      cases::golden_embeddings<clipx::vit>(device(), name);
    for (auto* name : {"convnext", "convnext_mlp"}) cases::golden_embeddings<clipx::convnext>(device(), name);
    for (auto* name : {"vitamin", "vitamin_xl"}) cases::golden_embeddings<clipx::vitamin>(device(), name);
    cases::golden_embeddings<clipx::modified_resnet>(device(), "resnet");
  });
}
#endif
