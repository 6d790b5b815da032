// Definition of plain_vit::presets: open_clip's configurations ViT-*-CLIPA, MobileCLIP2-L-14 and others.
#pragma once
#include "plain_vit-inl.hpp"

namespace clipx {
namespace detail {
/// CLIPA (Li et al. 2023), as open_clip has it.
struct clipa_preset {
  const char* name;
  dim embed_dim, image_size, width, layers, heads, mlp_width, text_width, text_heads, text_layers;

  operator clip_config() const {
    clip_config c;
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = activation::gelu;
    c.vision = plain_vit_config{.image_size = image_size,
                                .patch_size = 14,
                                .width = width,
                                .heads = heads,
                                .mlp_width = mlp_width,
                                .layers = layers,
                                .norm_pre = false,
                                .norm_after_pool = true,
                                .pool = vit_pool::mean};
    c.text = {.context_length = 32,
              .vocab_size = 32000,
              .width = text_width,
              .heads = text_heads,
              .layers = text_layers,
              .mlp_width = 4 * text_width,
              .pool = text_pool::last,
              .causal = false};
    return c;
  }
};
/// A tower of timm's beside a text tower of open_clip's.
struct timm_preset {
  const char *name, *tower;
  vit_head head;
  dim embed_dim, text_width, text_heads, text_layers;
  bool causal;

  operator clip_config() const {
    clip_config c;
    auto m = timm_vit_named(tower).value_or(timm_vit{});
    m.sizes.head = head;
    m.sizes.head_bias = head == vit_head::trunk;
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = m.act;
    c.norm_eps = m.norm_eps;
    c.vision = m.sizes;
    c.text = {.width = text_width, .heads = text_heads, .layers = text_layers, .mlp_width = 4 * text_width, .causal = causal};
    if (m.norm_eps != 1e-5) c.text.norm_eps = 1e-5;
    return c;
  }
};
/// CLIP's own sizes with LayerScale in the image tower.
inline clip_config scaled_preset() {
  clip_config c;
  c.name = "ViT-M-16-alt";
  c.embed_dim = 384;
  c.act = activation::gelu;
  c.vision = plain_vit_config{.width = 512, .heads = 8, .mlp_width = 2048, .layers = 12, .layer_scale = 1e-4};
  c.text = {.width = 384, .heads = 6, .layers = 12, .mlp_width = 1536};
  return c;
}
}  // namespace detail

CLIPX_INLINE std::span<const clip_config> plain_vit::presets() {
  // clang-format off
  static const clip_config list[] = {
      // name                                        D     image width layers heads mlp   text: width heads layers
      detail::clipa_preset{"ViT-L-14-CLIPA",         768,  224,  1024, 24,    16,   4096, 768,  12, 12},
      detail::clipa_preset{"ViT-L-14-CLIPA-336",     768,  336,  1024, 24,    16,   4096, 768,  12, 12},
      detail::clipa_preset{"ViT-H-14-CLIPA",         1024, 224,  1280, 32,    16,   5120, 1024, 16, 24},
      detail::clipa_preset{"ViT-H-14-CLIPA-336",     1024, 336,  1280, 32,    16,   5120, 1024, 16, 24},
      detail::clipa_preset{"ViT-bigG-14-CLIPA",      1280, 224,  1664, 48,    16,   8192, 1280, 20, 32},
      detail::clipa_preset{"ViT-bigG-14-CLIPA-336",  1280, 336,  1664, 48,    16,   8192, 1280, 20, 32},
      detail::timm_preset{"MobileCLIP2-L-14", "vit_large_patch14_clip_224", vit_head::trunk, 768, 768, 12, 12, false},
      detail::timm_preset{"vit_medium_patch16_gap_256", "vit_medium_patch16_gap_256", vit_head::after_trunk, 512, 512, 8, 12, true},
      detail::scaled_preset(),
  };
  // clang-format on
  return list;
}

}  // namespace clipx
