// timm_vit: what timm calls the tensors of its vision transformers, and the sizes that the names of its models stand for.
#pragma once
#include <span>

#include "../model/plain_vit.hpp"
#include "transformer_keys.hpp"

namespace clipx {

/// Where timm's layout holds a parameter of plain_vision_tower ("conv1.weight", "transformer.resblocks.0.ln_1.weight", ..) behind
/// "visual.trunk."; nothing for other names.
std::optional<key_source> timm_vit_source(std::string_view name);

/// A model of timm's as timm.create_model(NAME) makes it.
struct timm_vit {
  plain_vit_config sizes;             // pooling and last norm are those of the name
  activation act = activation::gelu;  // of the MLPs
  double norm_eps = 1e-6;             // of LayerNorm
  bool norm_first = false;            // whether the last norm is before the pooling, whichever that is
  friend bool operator==(const timm_vit&, const timm_vit&) = default;
};
/// The names that timm_vit_named knows: vit_SIZE_patchP_N, vit_SIZE_patchP_clip_N, .._clip_quickgelu_N, .._gap_N, .._plus_N.
std::span<const std::string_view> timm_vit_names();
/// By name; nothing for others.
std::optional<timm_vit> timm_vit_named(std::string_view name);
/// The name of a model with these sizes and activation, or of one with the same norms; see timm_vit_named.
std::string timm_vit_name(const timm_vit& model);

/// Reads timm_pool, timm_proj and timm_proj_bias into a tower whose pooling is that of its name. Returns the pooling with which
/// timm makes the tower, on which the place of its last norm depends. Problems become issues.
vit_pool read_timm_head(fields& f, plain_vit_config& v);
/// Writes timm_pool, timm_proj and timm_proj_bias.
void write_timm_head(const plain_vit_config& v, field_writer& to);
/// Refuses fields of open_clip's vision_cfg that open_clip does not give to towers of timm's in this form; skips those that have no
/// effect on such a tower's answer.
void refuse_timm_variants(fields& f);
/// Reads a tower of timm's from open_clip's vision_cfg: name, pooling, projection and timm_model_kwargs. Problems become issues.
plain_vit_config read_timm_vit(tower_reader& r);
/// Writes the same fields. Errors: a tower that timm does not have.
void write_timm_vit(const plain_vit_config& v, const clip_config& c, field_writer& to);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "timm_vit-inl.hpp"
#endif
