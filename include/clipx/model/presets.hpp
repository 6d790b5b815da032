// The model zoo's sizes (spec section 1.1). OpenAI's own weights use quick_gelu; H/14, g/14 and bigG/14 are open_clip's, with gelu.
#pragma once
#include <span>
#include <string_view>

#include "config.hpp"

namespace clipx::presets {

extern const clip_config rn50, rn101, rn50x4, rn50x16, rn50x64, vit_b_32, vit_b_16, vit_l_14, vit_l_14_336, vit_h_14, vit_g_14,
    vit_bigg_14;

/// Every preset, in the order of the paper's table.
std::span<const clip_config* const> all();

/// By name, e.g. "ViT-B-32". Error: lists the names there are.
const clip_config& find(std::string_view name);

}  // namespace clipx::presets

#ifndef CLIPX_COMPILED
#include "presets-inl.hpp"
#endif
