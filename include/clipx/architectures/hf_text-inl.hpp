// Definitions of hf_text.hpp (open_clip 3.3's hf_model.py).
#pragma once
#include <algorithm>

#include "hf_text.hpp"

namespace clipx {

CLIPX_INLINE bool names_hf_text(layout keys, const fields& model) {
  if (keys != layout::open_clip || !model.dump("text_cfg").starts_with('{')) return false;
  return model.object("text_cfg", "text_cfg").has("hf_model_name");
}

CLIPX_INLINE const hf_text_model* find_hf_text(std::string_view name, std::string_view organization,
                                               std::span<const hf_text_model> table) {
  if (name.starts_with(organization)) name.remove_prefix(organization.size());
  const auto at = std::find_if(table.begin(), table.end(), [&](const hf_text_model& m) { return m.name == name; });
  return at == table.end() ? nullptr : &*at;
}

CLIPX_INLINE void read_hf_text(fields& f, text_config& t, std::span<const std::pair<std::string_view, text_pool>> poolers) {
  t.hf.name = f.text("hf_model_name", "");
  if (t.hf.name.empty()) f.issue(error_kind::damaged, "hf_model_name: expected the name of a model");
  t.context_length = f.size("context_length", 77, 65536);
  if (f.is_null("hf_pooler_type")) f.issue("hf_pooler_type: null is not supported; name the pooler");
  const auto pooler = f.text("hf_pooler_type", "mean_pooler");
  std::string names;
  t.pool = text_pool::mean;
  bool known = false;
  for (auto& [name, pool] : poolers) {
    names += cat(names.empty() ? "" : " and ", name);
    if (name == pooler) t.pool = pool, known = true;
  }
  if (!known) f.issue(cat("hf_pooler_type: ", pooler, " is not supported with ", t.hf.name, ", only ", names));
  const auto head = f.is_null("hf_proj_type") ? std::string("none") : f.text("hf_proj_type", "mlp");
  t.hf.head = head == "mlp" ? text_head::mlp : head == "linear" ? text_head::linear : text_head::none;
  if (head != "mlp" && head != "linear" && !f.is_null("hf_proj_type"))
    f.issue(cat("hf_proj_type: ", head, " is not supported, only mlp, linear and null"));
  t.projection = t.hf.head != text_head::none;
  // open_clip does not read the sizes of a tower of its own where hf_model_name is given
  f.skip({"vocab_size",          "width",      "heads",       "layers",           "mlp_ratio",
          "hf_model_pretrained", "pad_id",     "eos_id",      "output_tokens",    "embed_cls",
          "pool_type",           "proj_type",  "proj_bias",   "no_causal_mask",   "final_ln_after_pool",
          "ls_init_value",       "act_kwargs", "norm_kwargs", "correct_cls_mask", "use_pad_mask"});
}

CLIPX_INLINE void write_hf_text(const text_config& t, std::string_view pooler, field_writer& to) {
  to.put("hf_model_name", t.hf.name);
  to.put("hf_pooler_type", std::string(pooler));
  if (t.hf.head == text_head::none) to.put_null("hf_proj_type");
  else to.put("hf_proj_type", t.hf.head == text_head::mlp ? "mlp" : "linear");
  if (t.context_length != 77) to.put("context_length", t.context_length);
}

CLIPX_INLINE void skip_hf_text(fields& f) {
  f.skip({"architectures",
          "_name_or_path",
          "name_or_path",
          "bos_token_id",
          "eos_token_id",
          "decoder_start_token_id",
          "use_cache",
          "tie_word_embeddings",
          "transformers_version",
          "dtype",
          "torch_dtype",
          "initializer_range",
          "init_std",
          "dropout",
          "attention_dropout",
          "activation_dropout",
          "hidden_dropout_prob",
          "attention_probs_dropout_prob",
          "classifier_dropout",
          "gradient_checkpointing",
          "output_past",
          "num_beams",
          "max_length",
          "tokenizer_class",
          "id2label",
          "label2id",
          "problem_type",
          "return_dict",
          "output_hidden_states",
          "output_attentions",
          "chunk_size_feed_forward",
          "pruned_heads"});
  if (f.has("pruned_heads") && f.dump("pruned_heads") != "{}") f.issue("pruned_heads: heads that are left out are not supported");
}

CLIPX_INLINE void take_hf_text(const hf_text_model& m, text_config& t) {
  t.width = m.width;
  t.heads = m.heads;
  t.layers = m.layers;
  t.mlp_width = m.mlp_width;
  t.vocab_size = m.vocab_size;
  t.hf.positions = m.positions;
  t.hf.token_types = 1;
  t.hf.pad_id = 1;
  t.hf.positions_after_pad = true;
}

CLIPX_INLINE key_source hf_text_source(std::string_view name, layout keys, std::span<const key_row> rows, std::string_view blocks,
                                       std::span<const key_row> of_block) {
  expect(keys == layout::open_clip, error_kind::unsupported, [&] { return cat("Hugging Face's layout has no place for ", name); });
  constexpr std::string_view own_blocks = "transformer.resblocks.", attention = "attn.in_proj_";
  if (!name.starts_with(own_blocks)) return hf_row_source(name, rows).value();
  name.remove_prefix(own_blocks.size());
  const auto dot = name.find('.') + 1;
  const auto block = cat(blocks, name.substr(0, dot));
  name.remove_prefix(dot);
  key_source out;
  const auto add = [&](const std::string& part) { out.parts.push_back(block + hf_row_source(part, of_block).value().parts[0]); };
  if (name.starts_with(attention))
    for (auto* part : {"q.", "k.", "v."}) add(cat(part, name.substr(attention.size())));
  else add(std::string(name));
  return out;
}

CLIPX_INLINE initial_values initial_of_hf_text(std::string_view name, const shape& s) {
  if (name.starts_with("proj.")) return fan_in(s.cols());
  if (name.starts_with("ln_") || name.find(".ln_") != std::string_view::npos)
    return initial_values::constant(name.ends_with(".weight") ? 1 : 0);
  if (name.ends_with("bias")) return {};
  return initial_values::normal(0.02);
}

CLIPX_INLINE double hf_text_flops(const transformer_sizes& s, dim tokens, bool all_rows) {
  const double blocks = transformer_flops(s, tokens, false);
  if (!all_rows) return blocks;
  const transformer_sizes one{s.width, s.heads, 1, s.mlp_width}, more{s.width, s.heads, s.layers + 1, s.mlp_width};
  return transformer_flops(more, tokens, false) - transformer_flops(one, tokens, false);
}
CLIPX_INLINE double hf_head_flops(const clip_config& c) {
  const auto W = static_cast<double>(c.text.width), D = static_cast<double>(c.embed_dim);
  return c.text.hf.head == text_head::mlp ? (W + D) * (W + D) : c.text.hf.head == text_head::linear ? 2 * W * D : 0;
}

CLIPX_INLINE void check_hf_text(const text_config& t, dim embed_dim, issue_list& issues) {
  if (t.heads < 1 || t.width % t.heads != 0)
    issues.add(cat("text tower: width ", t.width, " does not divide into ", t.heads, " heads"));
  if (t.mlp_width < 1) issues.add("text tower: the MLP has no columns");
  if (t.hf.pad_id < 0 || t.hf.pad_id >= t.vocab_size)
    issues.add(cat("text tower: pad_token_id: expected an id below ", t.vocab_size, ", got ", t.hf.pad_id));
  const dim longest = t.hf.positions - t.hf.first_position();
  if (t.hf.positions && t.context_length > longest)
    issues.add(cat("text tower: its positions are enough for ", longest, " tokens, the context length is ", t.context_length));
  if (t.hf.head == text_head::none && t.width != embed_dim)
    issues.add(cat("text tower: expected a projection, or the width of the embedding, ", embed_dim, ", got ", t.width));
}

}  // namespace clipx
