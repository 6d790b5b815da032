// What the towers made of transformer blocks share: the names of a block's tensors, its fields and its initialization.
#pragma once
#include "architecture.hpp"

namespace clipx {

/// Sizes of a stack of blocks as both layouts' configurations have them.
struct transformer_sizes {
  dim width, heads, layers, mlp_width;  // columns between blocks, attention heads, blocks, columns inside an MLP
};

/// Hugging Face's fields of a tower, whose defaults are those of `sizes`; r.shared receives activation and norm epsilon.
void read_hf_transformer(tower_reader& r, const char* where, transformer_sizes& sizes);
/// The same fields.
void write_hf_transformer(const char* type, const transformer_sizes& sizes, const clip_config& c, field_writer& to);

/// Where Hugging Face's layout holds a tensor of block `name` = "0.attn.in_proj_weight", ... ; nothing for other names.
std::optional<key_source> hf_block_source(std::string_view name, std::string_view prefix);

/// A tensor outside the blocks: names that end in a dot are beginnings.
struct key_row {
  std::string_view ours, hf;  // names in open_clip's and in Hugging Face's layout
  bool transposed = false;    // whether Hugging Face's layout holds it as (out, in)
};
/// Where Hugging Face's layout holds a tensor outside the blocks, by a table; nothing for other names.
std::optional<key_source> hf_row_source(std::string_view name, std::span<const key_row> rows);

/// The activation of that name; an issue where clipx has none.
activation activation_named(const std::string& name, const char* where, std::vector<std::string>& issues);
/// Its name in configuration files.
const char* name_of(activation f);

/// Fields of open_clip's vision_cfg that change what a tower computes in ways that clipx does not know; the rest change nothing.
void refuse_vision_variants(fields& f);

/// Heads of an image tower: by the caller's head width, which must divide the width, else by the stored one, rounded down.
dim heads_of(dim width, dim stored, dim given, std::vector<std::string>& issues);

/// PyTorch's default for linear and convolution: uniform within 1 / sqrt(fan in).
initial_values fan_in(dim n);
/// Normal with standard deviation 1 / sqrt(n).
initial_values normal_of(dim n);

/// Floating-point operations of the matrix products of a stack of blocks over a sequence of `rows`, of which one leaves the last
/// block.
double transformer_flops(const transformer_sizes& s, dim rows, bool causal);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "transformer_keys-inl.hpp"
#endif
