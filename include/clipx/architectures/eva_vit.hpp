// eva_vit: EVA-CLIP (Sun et al. 2023) and the Perception Encoder's PE-Core (Bolya et al. 2025), as open_clip has them.
#pragma once
#include "../model/eva_vit.hpp"
#include "plain_text.hpp"
#include "timm_vit.hpp"

namespace clipx {

/// timm's eva_giant_*, eva02_*_clip_* and vit_pe_core_* with a text tower of open_clip's.
struct eva_vit {
  ///@{
  /// As in vit.
  using config = eva_vit_config;
  using text = plain_text;
  template <backend_types B>
  using tower = eva_vision_tower<B>;
  static constexpr adam_defaults optimizer{.beta2 = 0.98, .eps = 1e-6};
  static constexpr bool in_library = true;

  static bool claims(layout keys, const fields& model, const fields& vision);
  static config read(tower_reader& r);
  static void write(const config& v, const clip_config& c, layout keys, field_writer& to);
  static constexpr std::string_view telltale = "visual.trunk.blocks.0.attn.q_bias";
  ///@}
  /// Whether a bare file has that tensor, or others that stand for it: q and k apart, or an attention pooling behind a norm before
  /// the blocks.
  static bool tells(const shape_reader& r);
  ///@{
  /// As in vit. Shapes do not show heads, norms behind the branches and rotations: they are those of timm's tower of this size.
  static config infer(shape_reader& r, clip_config& c);
  static void check(const config& v, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  static initial_values initial(std::string_view name, const shape& s, const config& v);
  static std::vector<model_fact> facts(const config& v);
  static std::span<const clip_config> presets();
  static double flops(const config& v, const clip_config& c);
  ///@}
  /// What open_clip has for these models.
  static model_family family() { return {.custom_text = true, .quick_gelu = false}; }
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "eva_presets-inl.hpp"
#include "eva_vit-inl.hpp"
#endif
