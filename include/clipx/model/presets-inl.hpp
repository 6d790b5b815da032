// Definitions of presets.hpp.
#pragma once
#include <string>

#include "../core/error.hpp"
#include "presets.hpp"

namespace clipx::presets {

namespace detail {
inline clip_config vit(const char* name, dim D, dim pixels, dim patch, dim width, dim layers, dim heads, dim mlp, dim text_width,
                       dim text_layers, activation f) {
  return {name,
          D,
          f,
          1e-5,
          {pixels, patch, width, heads, mlp, layers, {0, 0, 0, 0}},
          {77, 49408, text_width, text_width / 64, text_layers, 4 * text_width, text_pool::argmax, 49407}};
}
inline clip_config resnet(const char* name, dim D, dim pixels, std::array<dim, 4> stages, dim width, dim text_width) {
  return {name,
          D,
          activation::quick_gelu,
          1e-5,
          {pixels, 0, width, width / 2, 0, 0, stages},
          {77, 49408, text_width, text_width / 64, 12, 4 * text_width, text_pool::argmax, 49407}};
}
}  // namespace detail

CLIPX_INLINE const clip_config rn50 = detail::resnet("RN50", 1024, 224, {3, 4, 6, 3}, 64, 512);
CLIPX_INLINE const clip_config rn101 = detail::resnet("RN101", 512, 224, {3, 4, 23, 3}, 64, 512);
CLIPX_INLINE const clip_config rn50x4 = detail::resnet("RN50x4", 640, 288, {4, 6, 10, 6}, 80, 640);
CLIPX_INLINE const clip_config rn50x16 = detail::resnet("RN50x16", 768, 384, {6, 8, 18, 8}, 96, 768);
CLIPX_INLINE const clip_config rn50x64 = detail::resnet("RN50x64", 1024, 448, {3, 15, 36, 10}, 128, 1024);
CLIPX_INLINE const clip_config vit_b_32 = detail::vit("ViT-B-32", 512, 224, 32, 768, 12, 12, 3072, 512, 12, activation::quick_gelu);
CLIPX_INLINE const clip_config vit_b_16 = detail::vit("ViT-B-16", 512, 224, 16, 768, 12, 12, 3072, 512, 12, activation::quick_gelu);
CLIPX_INLINE const clip_config vit_l_14 =
    detail::vit("ViT-L-14", 768, 224, 14, 1024, 24, 16, 4096, 768, 12, activation::quick_gelu);
CLIPX_INLINE const clip_config vit_l_14_336 =
    detail::vit("ViT-L-14-336", 768, 336, 14, 1024, 24, 16, 4096, 768, 12, activation::quick_gelu);
CLIPX_INLINE const clip_config vit_h_14 = detail::vit("ViT-H-14", 1024, 224, 14, 1280, 32, 16, 5120, 1024, 24, activation::gelu);
CLIPX_INLINE const clip_config vit_g_14 = detail::vit("ViT-g-14", 1024, 224, 14, 1408, 40, 16, 6144, 1024, 24, activation::gelu);
CLIPX_INLINE const clip_config vit_bigg_14 =
    detail::vit("ViT-bigG-14", 1280, 224, 14, 1664, 48, 16, 8192, 1280, 32, activation::gelu);

CLIPX_INLINE std::span<const clip_config* const> all() {
  static const clip_config* const list[] = {&rn50,     &rn101,    &rn50x4,       &rn50x16,  &rn50x64,  &vit_b_32,
                                            &vit_b_16, &vit_l_14, &vit_l_14_336, &vit_h_14, &vit_g_14, &vit_bigg_14};
  return list;
}

CLIPX_INLINE const clip_config& find(std::string_view name) {
  std::string names;
  for (auto* c : all()) {
    if (c->name == name) return *c;
    names += " " + c->name;
  }
  fail(cat("unknown model '", name, "'; there are:", names));
}

}  // namespace clipx::presets
