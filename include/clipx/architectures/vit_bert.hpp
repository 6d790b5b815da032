// bert_vit: a vision transformer with a RoBERTa as its text tower; open_clip's xlm-roberta-*-ViT-* and roberta-ViT-B-32.
#pragma once
#include "bert_text.hpp"
#include "vit.hpp"
#include "with_text.hpp"

namespace clipx {

/// The models that open_clip has.
struct bert_vit_presets {
  static std::span<const clip_config> presets();  // as in vit
};

/// The architecture.
using bert_vit = with_text<vit, bert_text, bert_vit_presets>;

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "vit_bert-inl.hpp"
#endif
