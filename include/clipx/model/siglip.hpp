// The sizes of SigLIP's image towers at a fixed resolution (Zhai et al. 2023; big_vision): the plain vision transformer without a
// class token, whose tokens are pooled by attention with a learned query.
#pragma once
#include "plain_text.hpp"
#include "plain_vit.hpp"

namespace clipx {

struct siglip_vit;  // architectures/siglip_vit.hpp

/// Sizes of the image tower; the defaults are those of B/16. Its features have `width` columns.
struct siglip_vit_config {
  using policy = siglip_vit;
  static constexpr std::string_view name = "SigLIP";
  extent image_size = 224;                                 // in pixels; a number is a square's side
  extent patch_size = 16;                                  // in pixels, likewise
  dim width = 768;                                         // of a token, and of the features
  dim heads = 12;                                          // attention heads of a block and of the pooling
  dim mlp_width = 3072;                                    // columns inside the MLP of a block and of the pooling
  dim layers = 12;                                         // blocks
  extent grid() const { return image_size / patch_size; }  // patches of a column and of a row
  /// The same tower as a plain vision transformer.
  plain_vit_config plain() const {
    return {.image_size = image_size,
            .patch_size = patch_size,
            .width = width,
            .heads = heads,
            .mlp_width = mlp_width,
            .layers = layers,
            .class_token = false,
            .patch_bias = true,
            .norm_pre = false,
            .pool = vit_pool::attention,
            .head = vit_head::none};
  }
  friend bool operator==(const siglip_vit_config&, const siglip_vit_config&) = default;
};

/// timm's vision transformers vit_*_siglip_*; transformers' SiglipVisionModel.
template <backend_types B>
struct siglip_vision_tower : plain_vision_tower<B> {
  siglip_vision_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: those of plain_vision_tower.
  explicit siglip_vision_tower(const clip_config& c) : plain_vision_tower<B>(c.vision.as<siglip_vit_config>().plain(), c) {}
};

}  // namespace clipx
