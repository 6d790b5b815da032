// Configuration files of checkpoints: open_clip_config.json, Hugging Face's config.json and preprocessor_config.json, read and
// written. What clipx does not support is refused by name; nothing that affects results is guessed.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "../architectures/architecture.hpp"
#include "../image/preprocess.hpp"
#include "../loss/policy.hpp"
#include "../text/vocabulary.hpp"

namespace clipx {

/// Policies that readers try before those in architectures/list.hpp and loss/list.hpp.
struct extra_policies {
  std::vector<const architecture*> architectures;  // tried in this order
  std::vector<const loss_policy*> losses;          // tried in this order
};

/// Everything that a checkpoint's configuration says: the only source of sizes, preprocessing and tokenization.
struct checkpoint_config {
  clip_config model{};              // sizes of both towers, and the loss
  preprocess_config pixels{};       // preprocessing of images
  tokenizer_options text{};         // how texts become ids
  layout keys = layout::open_clip;  // of the folder
};

/// A configuration with CLIP's own preprocessing and tokenization, for the model's sizes.
checkpoint_config default_config(const clip_config& model);
/// Errors: preprocessing or tokenization whose sizes differ from the model's, no architecture; each is named.
void check_config(const checkpoint_config& c);

/// These throw one clipx::error that lists everything wrong in the text; `name` is used for the file.
checkpoint_config read_open_clip_config(std::string_view json, const std::string& name, const config_answers& answers = {},
                                        const extra_policies& extra = {});
/// A configuration of a tower alone gives a model that has this one. preprocessor: the text of preprocessor_config.json, or of what
/// stands under image_processor in processor_config.json, which messages call `preprocessor_name`; empty: CLIP's own preprocessing
/// at the config's image size.
checkpoint_config read_hf_config(std::string_view json, std::string_view preprocessor, const std::string& name,
                                 const config_answers& answers = {}, const extra_policies& extra = {},
                                 const std::string& preprocessor_name = "preprocessor_config.json");

/// The contents of the same files.
std::string open_clip_config_text(const checkpoint_config& c);
/// config.json: `dtype` is the type of the weights ("f32", "f16" or "bf16"), the others are ids of the tokenizer's special tokens.
std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                           std::int32_t pad);
/// preprocessor_config.json.
std::string hf_preprocessor_text(const checkpoint_config& c);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "config-inl.hpp"
#endif
