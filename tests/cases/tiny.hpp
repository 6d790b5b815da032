// Tiny models, and the case of a whole one: features of both towers, gradients of every parameter.
#pragma once
#include <clipx/architectures/list.hpp>
#include <clipx/core/bf16.hpp>

#include "harness.hpp"

namespace cases {

inline clipx::clip_config tiny_vit(clipx::activation f = clipx::activation::quick_gelu, dim head_width = 16) {
  clipx::clip_config c;
  c.name = "tiny";
  c.embed_dim = 24;
  c.act = f;
  c.vision = clipx::vit_config{28, 7, 2 * head_width, 2, 5 * head_width, 2};
  c.text = {12, 40, 32, 2, 2, 80, clipx::text_pool::argmax, 39};
  return c;
}
inline clipx::clip_config tiny_resnet() {
  auto c = tiny_vit();
  c.vision = clipx::modified_resnet_config{64, 8, 4, {1, 2, 1, 1}};
  return c;
}
/// Maps of 11, 5, 2 and 1 pixels; widths that do not fill a vector, or that do.
inline clipx::clip_config tiny_convnext(bool mlp_head = false) {
  auto c = tiny_vit();
  if (mlp_head) c.vision = clipx::convnext_config{44, {1, 1, 1, 1}, {8, 16, 8, 24}, true, clipx::activation::gelu_tanh, 1e-5};
  else c.vision = clipx::convnext_config{44, {1, 2, 1, 1}, {5, 6, 9, 17}};
  return c;
}
/// With two activations and a projection; or with one, none, and the MLP's odd width of SO400M.
inline clipx::clip_config tiny_siglip(dim head_width = 16, bool projection = true) {
  auto c = tiny_vit(clipx::activation::gelu_tanh);
  c.embed_dim = 2 * head_width;
  c.norm_eps = 1e-6;
  c.vision = clipx::siglip_vit_config{29, 7, 2 * head_width, 2, 5 * head_width + 3, 2};
  c.text = {12, 40, projection ? 24 : 2 * head_width, 2, 2, 80, clipx::text_pool::last, 1, projection, projection, false};
  if (projection) c.text.act = clipx::activation::gelu;
  return c;
}
/// A RoBERTa as the text tower: the mean of the rows and an MLP; or BERT, the first row, a matrix and a bias, two types of tokens.
inline clipx::clip_config tiny_bert(bool mean = true, dim head_width = 16) {
  auto c = tiny_vit(clipx::activation::quick_gelu);
  c.vision = clipx::bert_vit::config{c.vision.as<clipx::vit_config>()};
  c.text = {12, 40, 2 * head_width, 2, 2, 80, mean ? clipx::text_pool::mean : clipx::text_pool::first};
  c.text.act = clipx::activation::gelu;
  c.text.norm_eps = 1e-6;
  c.text.hf = {"tiny", 14, mean ? 1 : 2, 0, mean ? clipx::text_head::mlp : clipx::text_head::linear, mean};
  c.text.projection_bias = !mean;
  return c;
}
/// The encoder of an NLLB as the text tower: the first row and a matrix; or the mean and nothing, with SigLIP's image tower.
inline clipx::clip_config tiny_m2m(bool first = true) {
  auto c = first ? tiny_vit(clipx::activation::quick_gelu) : tiny_siglip();
  if (first) c.vision = clipx::m2m_vit::config{c.vision.as<clipx::vit_config>()};
  else c.vision = clipx::m2m_siglip_vit::config{c.vision.as<clipx::siglip_vit_config>()};
  c.text = {12, 40, 32, 2, 2, 80, first ? clipx::text_pool::first : clipx::text_pool::mean};
  c.text.act = clipx::activation::relu;
  c.text.norm_eps = 1e-5;
  c.text.hf = {"tiny", 0, 1, 0, first ? clipx::text_head::linear : clipx::text_head::none};
  c.text.projection = first;
  return c;
}
/// Plain vision transformers: as CLIPA; as timm's with a head of its own; with the norm before the mean, and a class token without
/// a position. Their text towers see padding, and pool the last position, the largest id, the first position.
inline clipx::clip_config tiny_plain(int kind) {
  auto c = tiny_vit(clipx::activation::gelu);
  clipx::plain_vit_config v{.image_size = {29, 22}, .patch_size = {7, 5}, .width = 32, .heads = 2, .mlp_width = 83, .layers = 2};
  c.text.causal = false;
  if (kind == 0) {
    v.norm_pre = false;
    v.pool = clipx::vit_pool::mean;
    v.norm_after_pool = true;
    c.text.pool = clipx::text_pool::last;
  } else if (kind == 1) {
    v.timm = true;
    v.head = clipx::vit_head::trunk;
    v.head_bias = true;
  } else {
    c.norm_eps = 1e-6;
    v.timm = true;
    v.layer_scale = 0.5;
    c.text.layer_scale = 0.5;
    v.patch_bias = true;
    v.norm_pre = v.class_position = v.qkv_bias = false;
    v.pool = clipx::vit_pool::mean;
    v.head = clipx::vit_head::after_trunk;
    c.text.pool = clipx::text_pool::first;
    c.text.projection_bias = true;
  }
  c.vision = v;
  return c;
}
/// As EVA02-B, with the class token pooled; EVA02-E with the mean and open_clip's head; PE-Core with attention, the class token
/// included; EVA02-L with the mean, whose last block leaves out the class token.
inline clipx::clip_config tiny_eva(int kind, dim head_width = 16) {
  auto c = tiny_vit(clipx::activation::gelu);
  clipx::eva_vit_config v;
  v.image_size = 29, v.patch_size = 7, v.width = 2 * head_width, v.heads = 2, v.mlp_width = 5 * head_width + 3, v.layers = 2;
  v.timm = v.patch_bias = true;
  v.norm_pre = false;
  v.head = clipx::vit_head::trunk;
  v.head_bias = true;
  if (kind == 0 || kind == 3) {
    v.block = {.separate_qkv = true, .norm_attn = true, .swiglu = true};
    v.rotary_side = 3;
  } else if (kind == 1) {
    v.block = {.post_norm = true};
    v.head = clipx::vit_head::after_trunk;
    v.head_bias = false;
  } else {
    v.block = {.key_bias = true};
    v.norm_pre = v.rotary_column_first = true;
    v.patch_bias = false;
    v.rotary_side = 4, v.rotary_first = 1;
    v.pool = clipx::vit_pool::attention;
    v.pool_heads = 4, v.pool_mlp_width = 3 * head_width;
  }
  if (kind % 2 == 1) v.pool = clipx::vit_pool::mean;
  if (kind == 3) v.norm_after_pool = true;
  if (kind != 2) c.norm_eps = 1e-6, c.text.norm_eps = 1e-5;
  c.vision = v;
  return c;
}
/// As MobileCLIP-B.
inline clipx::clip_config tiny_mci() {
  auto c = tiny_vit(clipx::activation::gelu);
  c.vision = clipx::mci_vit_config{32, 32, 2, 83, 2};
  c.text.norm_eps = 1e-4;
  return c;
}
/// Maps of 16, 8 and 4 pixels, an odd number of channels that changes in both stages; or as the XL, without positions, from 48
/// pixels.
inline clipx::clip_config tiny_vitamin(bool positions = true) {
  auto c = tiny_vit();  // whose activation and epsilon are the text tower's alone
  c.vision = positions ? clipx::vitamin_config{32, 4, {2, 2}, {5, 6}, 32, 2, 2, 19}
                       : clipx::vitamin_config{48, 8, {1, 1}, {8, 16}, 16, 1, 1, 32, false, true};
  return c;
}
/// Texts of the tiny models, padded where the model's texts are.
inline std::vector<std::vector<std::int32_t>> tiny_texts(const clipx::text_config& c = {}) {
  std::vector<std::vector<std::int32_t>> out{{38, 5, 39}, {38, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 39}, {38, 39}, {38, 7, 7, 20, 39}};
  if (c.filled())
    for (auto& row : out) row.resize(static_cast<std::size_t>(c.context_length), 1);
  if (!c.hf.name.empty()) out[2].resize(static_cast<std::size_t>(c.context_length), c.hf.pad_id);
  return out;
}

/// A whole model: features of both towers as outputs, gradients of every parameter.
template <class Encoder>
struct model_case {
  clipx::clip_config config;
  bool training = false;
  clipx::keep kept = clipx::keep::everything;
  dim patches = 0;  // of each image that go on; 0: all
  std::string name() const {
    return clipx::cat(config.vision.policy().name(), training ? ", batch statistics" : "", patches ? ", patch dropout" : "");
  }
  /// Rows of the class tokens and of `patches` patches of each of N images, others for each.
  std::vector<std::int32_t> chosen(dim N) const {
    std::vector<std::int32_t> rows;
    const dim L = patches ? config.vision.as<clipx::vit_config>().tokens() : 0;
    for (dim i = 0; i < N && patches; ++i)
      for (dim p = 0; p <= patches; ++p) rows.push_back(static_cast<std::int32_t>(i * L + (p ? 1 + (3 * p + i) % (L - 1) : 0)));
    return rows;
  }

  template <class B>
  void run(harness<B>& h) const {
    using T = clipx::scalar_t<B>;
    const auto texts = tiny_texts(config.text);
    const dim N = static_cast<dim>(texts.size()), n = clipx::image_size(config).area();
    clipx::clip<Encoder, B> model(h.device, config, {});
    auto memory = h.parameters(model, 0.15);
    auto pixels = h.input("pixels", N * n, 3);
    typename clipx::clip<Encoder, B>::saved k;
    const auto rows = chosen(N);
    auto image = model.encode_image(h.s, mat<const T>(pixels), k, training, rows);
    auto text = model.encode_text(h.s, clipx::packed_texts::pack(texts, config.text), k);
    h.output("image", image);
    h.output("text", text);
    if constexpr (!harness<B>::is_complex)
      if (h.s.kept != clipx::keep::nothing) {
        auto grad = model.zeros_like();
        auto di = h.cotangent("image", N, config.embed_dim), dt = h.cotangent("text", N, config.embed_dim);
        model.backward(h.s, k, mat<const T>(di), mat<const T>(dt), grad);
        h.device.sync();
        h.gradient_of(grad);
      }
  }
};

}  // namespace cases
