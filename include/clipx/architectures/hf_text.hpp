// What the text sides that are Hugging Face's models share: fields of open_clip's text_cfg for its HFTextEncoder.
#pragma once
#include "transformer_keys.hpp"

namespace clipx {

/// Sizes of a published text model, as its config.json at Hugging Face has them.
struct hf_text_model {
  std::string_view name;                // without the organization
  dim width, heads, layers, mlp_width;  // of a transformer
  dim vocab_size, positions;            // rows of its tables
};

/// Whether a configuration file of open_clip names a text model of Hugging Face.
bool names_hf_text(layout keys, const fields& model);
/// The model of the table that hf_model_name means, with this organization before its name or without; null: none.
const hf_text_model* find_hf_text(std::string_view name, std::string_view organization, std::span<const hf_text_model> table);
/// Reads what text_cfg says about any of these models, into t.hf, t.pool (as `poolers` names them: hf_pooler_type and its meaning)
/// and t.context_length.
void read_hf_text(fields& f, text_config& t, std::span<const std::pair<std::string_view, text_pool>> poolers);
/// Writes the same fields.
void write_hf_text(const text_config& t, std::string_view pooler, field_writer& to);
/// Fields of a config.json of Hugging Face that do not change what a text encoder computes when it is run or trained without
/// dropout.
void skip_hf_text(fields& f);
/// Copies the sizes.
void take_hf_text(const hf_text_model& m, text_config& t);
/// Where open_clip's layout holds a parameter: `rows` outside of the blocks, which stand behind `blocks`; inside of them
/// `of_block`, where "q.", "k." and "v." are the parts of attn.in_proj. Errors: Hugging Face's layout.
key_source hf_text_source(std::string_view name, layout keys, std::span<const key_row> rows, std::string_view blocks,
                          std::span<const key_row> of_block);
/// transformers' _init_weights, and PyTorch's default for the projection.
initial_values initial_of_hf_text(std::string_view name, const shape& s);
/// Floating-point operations of the blocks, if one row or all leave the last one, and of the projection.
double hf_text_flops(const transformer_sizes& s, dim tokens, bool all_rows);
double hf_head_flops(const clip_config& c);  // of the projection
/// Reports sizes that no model can have.
void check_hf_text(const text_config& t, dim embed_dim, issue_list& issues);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "hf_text-inl.hpp"
#endif
