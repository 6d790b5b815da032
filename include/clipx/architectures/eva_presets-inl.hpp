// Definition of eva_vit::presets: open_clip's configurations EVA01-*, EVA02-* and PE-Core-*.
#pragma once
#include "eva_vit-inl.hpp"

namespace clipx {
namespace detail {
struct eva_preset {
  const char *name, *tower;
  vit_pool pool;
  dim embed_dim, text_width, text_layers, context_length = 77;

  operator clip_config() const {
    clip_config c;
    for (auto& t : timm_evas)
      if (t.name == tower) {
        auto v = config_of(t);
        v.pool = pool;
        c.vision = config_of(t, v);
        c.norm_eps = t.kind.norm_eps;
      }
    c.name = name;
    c.embed_dim = embed_dim;
    c.act = activation::gelu;
    c.text = {.context_length = context_length,
              .width = text_width,
              .heads = text_width / 64,
              .layers = text_layers,
              .mlp_width = 4 * text_width};
    if (c.norm_eps != 1e-5) c.text.norm_eps = 1e-5;
    return c;
  }
};
}  // namespace detail

CLIPX_INLINE std::span<const clip_config> eva_vit::presets() {
  using detail::eva_preset;
  // clang-format off
  static const clip_config list[] = {
      // name                       tower                              pooling              D     text: width layers context
      eva_preset{"EVA01-g-14",           "eva_giant_patch14_224",            vit_pool::token,     1024,  768, 12},
      eva_preset{"EVA01-g-14-plus",      "eva_giant_patch14_224",            vit_pool::token,     1024, 1024, 24},
      eva_preset{"EVA02-B-16",           "eva02_base_patch16_clip_224",      vit_pool::token,      512,  512, 12},
      eva_preset{"EVA02-L-14",           "eva02_large_patch14_clip_224",     vit_pool::token,      768,  768, 12},
      eva_preset{"EVA02-L-14-336",       "eva02_large_patch14_clip_336",     vit_pool::token,      768,  768, 12},
      eva_preset{"EVA02-E-14",           "eva02_enormous_patch14_clip_224",  vit_pool::token,     1024, 1024, 24},
      eva_preset{"EVA02-E-14-plus",      "eva02_enormous_patch14_clip_224",  vit_pool::token,     1024, 1280, 32},
      eva_preset{"PE-Core-T-16-384",     "vit_pe_core_tiny_patch16_384",     vit_pool::attention,  512,  512, 12, 32},
      eva_preset{"PE-Core-S-16-384",     "vit_pe_core_small_patch16_384",    vit_pool::attention,  512,  512, 12, 32},
      eva_preset{"PE-Core-B-16",         "vit_pe_core_base_patch16_224",     vit_pool::attention, 1024, 1024, 24, 32},
      eva_preset{"PE-Core-L-14-336",     "vit_pe_core_large_patch14_336",    vit_pool::attention, 1024, 1024, 24, 32},
      eva_preset{"PE-Core-bigG-14-448",  "vit_pe_core_gigantic_patch14_448", vit_pool::attention, 1280, 1280, 24, 72},
  };
  // clang-format on
  return list;
}

}  // namespace clipx
