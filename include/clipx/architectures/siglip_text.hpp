// siglip_text: the text side of SigLIP and of SigLIP 2 at a fixed resolution, a tower that is not causal and pools the last
// position.
#pragma once
#include "../model/siglip.hpp"
#include "plain_text.hpp"

namespace clipx {

/// plain_text as SigLIP has it: not causal, the last position pooled, a projection with a bias or none; in both layouts. Its
/// tensors are named as CLIP's, with "text." before them in open_clip's layout.
struct siglip_text : plain_text {
  ///@{
  /// As in causal_text.
  static void read(tower_reader& r, text_config& c);
  static void write(const clip_config& c, layout keys, field_writer& to);
  static void infer(shape_reader& r, clip_config& c);
  static void check(const clip_config& c, issue_list& issues);
  static key_source source_of(std::string_view name, layout keys);
  ///@}
};

/// Attention heads of a published SigLIP tower of this width, image or text; 0: there is none.
constexpr dim siglip_heads(dim width) { return width == 768 ? 12 : width == 1024 || width == 1152 || width == 1536 ? 16 : 0; }

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "siglip_text-inl.hpp"
#endif
