// What towers made of transformer blocks share: names of a block's tensors, configuration fields and initialization.
#pragma once
#include "architecture.hpp"

namespace clipx {

/// Sizes of a stack of blocks, as in both layouts' configurations.
struct transformer_sizes {
  dim width, heads, layers, mlp_width;  // columns between blocks, attention heads, blocks, columns inside an MLP
};

/// Reads Hugging Face's fields of a tower, with the defaults in `sizes` and r.shared, which receives the activation and the norms'
/// epsilon.
void read_hf_transformer(tower_reader& r, const char* where, transformer_sizes& sizes);
/// Writes the same fields. `shared`: the tower's activation and epsilon; its embed_dim becomes projection_dim, 0: none is written.
void write_hf_transformer(const char* type, const transformer_sizes& sizes, const shared_choices& shared, field_writer& to);
/// What the towers share, as the image tower has it and as the text tower has it.
shared_choices image_choices(const clip_config& c);
shared_choices text_choices(const clip_config& c);  // of the text tower
/// Errors: an activation or an epsilon for which open_clip's layout of CLIP has no place.
void expect_open_clip_choices(const shared_choices& c);

/// Where Hugging Face's layout holds a tensor of a block, e.g. `name` = "0.attn.in_proj_weight"; nothing for other names.
std::optional<key_source> hf_block_source(std::string_view name, std::string_view prefix);

/// A tensor outside the blocks; names that end in a dot are prefixes.
struct key_row {
  std::string_view ours, hf;  // names in open_clip's and in Hugging Face's layout
  bool transposed = false;    // whether Hugging Face's layout holds it as (out, in)
};
/// Where Hugging Face's layout holds a tensor outside the blocks, by a table; nothing for other names.
std::optional<key_source> hf_row_source(std::string_view name, std::span<const key_row> rows);

/// The activation of that name; an issue if clipx does not have it.
activation activation_named(const std::string& name, const char* where, issue_list& issues);
/// The activation that the caller names; an issue likewise.
activation answered_activation(const config_answers& answers, issue_list& issues);
/// Its name in messages and options.
const char* name_of(activation f);
/// Its name in Hugging Face's configuration files.
const char* hf_name_of(activation f);

/// Refuses fields of open_clip's vision_cfg that change a tower's computation in ways that clipx does not support;
/// skips those that change nothing.
void refuse_vision_variants(fields& f);

/// Reports an image_size that is not the tower's own, which is that of its name in timm or of timm_model_kwargs.
void expect_size_of_tower(fields& f, const extent& size, const fields& kwargs, std::string_view tower, const extent& own);
/// Reports an image without a patch, one above 16,384 pixels, or a grid above 256 patches a side.
void check_grid(const extent& image_size, const extent& grid, issue_list& issues);
/// Errors: images or patches that are not square, for which Hugging Face's layout has no place.
void expect_hf_sizes(const extent& image_size, const extent& patch_size);

/// Number of heads of an image tower: from the caller's head width, which must divide the width, else from the stored one, rounded
/// down.
dim heads_of(dim width, dim stored, dim given, issue_list& issues);

/// PyTorch's default for linear and convolution: uniform on +- 1 / sqrt(n), for a fan-in of n.
initial_values fan_in(dim n);
/// Normal with standard deviation 1 / sqrt(n).
initial_values normal_of(dim n);

/// Floating-point operations of the matrix products of a stack of blocks over a sequence of `rows` rows,
/// of which one leaves the last block.
double transformer_flops(const transformer_sizes& s, dim rows, bool causal);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "transformer_keys-inl.hpp"
#endif
