// Definition of siglip_vit::presets: open_clip's configurations ViT-*-SigLIP*.
#pragma once
#include "siglip_vit-inl.hpp"

namespace clipx {
namespace detail {
/// In open_clip's own activations: the image tower's is timm's, the text tower's GELU is exact in SigLIP and has tanh in SigLIP 2.
struct siglip_preset {
  const char* name;
  std::string_view size;
  dim patch, image, vocabulary;
  dim context = 64;
  bool projection = true;

  operator clip_config() const {
    clip_config c;
    c.name = name;
    for (auto& t : timm_towers)
      if (t.size == size && t.patch == patch && t.image == image) {
        c.vision = config_of(t);
        c.act = act_of(t);
      }
    const auto& v = c.vision.as<siglip_vit_config>();
    const auto& words = timm_sizes[size == "giantopt" ? 2 : size == "so400m" ? 2 : size == "large" ? 1 : 0];
    c.embed_dim = v.width;
    c.norm_eps = 1e-6;
    c.text = {.context_length = context,
              .vocab_size = vocabulary,
              .width = words.width,
              .heads = words.heads,
              .layers = words.layers,
              .mlp_width = words.mlp_width,
              .pool = text_pool::last,
              .eos_id = 1,
              .projection = projection,
              .projection_bias = projection,
              .causal = false};
    const auto act = vocabulary == 256000 ? activation::gelu_tanh : activation::gelu;
    if (act != c.act) c.text.act = act;
    c.loss = sigmoid::config{};
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE std::span<const clip_config> siglip_vit::presets() {
  constexpr dim c4 = 32000, multilingual = 250000, gemma = 256000;  // rows of the token tables
  // clang-format off
  static const clip_config list[] = {
      // name                                      size     patch image  vocabulary
      detail::siglip_preset{"ViT-B-16-SigLIP",            "base",     16, 224, c4},
      detail::siglip_preset{"ViT-B-16-SigLIP-256",        "base",     16, 256, c4},
      detail::siglip_preset{"ViT-B-16-SigLIP-384",        "base",     16, 384, c4},
      detail::siglip_preset{"ViT-B-16-SigLIP-512",        "base",     16, 512, c4},
      detail::siglip_preset{"ViT-B-16-SigLIP-i18n-256",   "base",     16, 256, multilingual},
      detail::siglip_preset{"ViT-L-16-SigLIP-256",        "large",    16, 256, c4},
      detail::siglip_preset{"ViT-L-16-SigLIP-384",        "large",    16, 384, c4},
      detail::siglip_preset{"ViT-SO400M-14-SigLIP",       "so400m",   14, 224, c4, 16},
      detail::siglip_preset{"ViT-SO400M-14-SigLIP-378",   "so400m",   14, 378, c4},
      detail::siglip_preset{"ViT-SO400M-14-SigLIP-384",   "so400m",   14, 384, c4},
      detail::siglip_preset{"ViT-SO400M-16-SigLIP-i18n-256", "so400m", 16, 256, multilingual, 64, false},
      detail::siglip_preset{"ViT-B-32-SigLIP2-256",       "base",     32, 256, gemma},
      detail::siglip_preset{"ViT-B-16-SigLIP2",           "base",     16, 224, gemma},
      detail::siglip_preset{"ViT-B-16-SigLIP2-256",       "base",     16, 256, gemma},
      detail::siglip_preset{"ViT-B-16-SigLIP2-384",       "base",     16, 384, gemma},
      detail::siglip_preset{"ViT-B-16-SigLIP2-512",       "base",     16, 512, gemma},
      detail::siglip_preset{"ViT-L-16-SigLIP2-256",       "large",    16, 256, gemma},
      detail::siglip_preset{"ViT-L-16-SigLIP2-384",       "large",    16, 384, gemma},
      detail::siglip_preset{"ViT-L-16-SigLIP2-512",       "large",    16, 512, gemma},
      detail::siglip_preset{"ViT-SO400M-14-SigLIP2",      "so400m",   14, 224, gemma},
      detail::siglip_preset{"ViT-SO400M-14-SigLIP2-378",  "so400m",   14, 378, gemma},
      detail::siglip_preset{"ViT-SO400M-16-SigLIP2-256",  "so400m",   16, 256, gemma},
      detail::siglip_preset{"ViT-SO400M-16-SigLIP2-384",  "so400m",   16, 384, gemma},
      detail::siglip_preset{"ViT-SO400M-16-SigLIP2-512",  "so400m",   16, 512, gemma},
      detail::siglip_preset{"ViT-gopt-16-SigLIP2-256",    "giantopt", 16, 256, gemma},
      detail::siglip_preset{"ViT-gopt-16-SigLIP2-384",    "giantopt", 16, 384, gemma},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
