// Configuration files of checkpoints: open_clip_config.json, Hugging Face's config.json and preprocessor_config.json, read and
// written. What clipx does not compute is refused by name; nothing that changes answers is guessed.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "../architectures/architecture.hpp"
#include "../image/preprocess.hpp"
#include "../loss/policy.hpp"
#include "../text/vocabulary.hpp"

namespace clipx {

/// The policies that readers try before those in the lists of architectures/list.hpp and loss/list.hpp.
struct extra_policies {
  std::vector<const architecture*> architectures;
  std::vector<const loss_policy*> losses;
};

/// Everything that a checkpoint's configuration says: the one source of sizes, preprocessing and tokenization.
struct checkpoint_config {
  clip_config model;
  preprocess_config pixels;
  tokenizer_options text;
  layout keys = layout::open_clip;
};

/// A configuration with CLIP's own preprocessing and tokenization at the model's sizes.
checkpoint_config default_config(const clip_config& model);
/// Errors: preprocessing or tokenization of other sizes than the model's, no architecture; each is named.
void check_config(const checkpoint_config& c);

/// Each throws one clipx::error that lists all it finds wrong in the text; `name` stands for the file.
checkpoint_config read_open_clip_config(std::string_view json, const std::string& name, const config_answers& answers = {},
                                        const extra_policies& extra = {});
/// preprocessor: the text of preprocessor_config.json, or of what stands under image_processor in processor_config.json, which
/// messages call `preprocessor_name`; empty: CLIP's own preprocessing at the config's image size.
checkpoint_config read_hf_config(std::string_view json, std::string_view preprocessor, const std::string& name,
                                 const config_answers& answers = {}, const extra_policies& extra = {},
                                 const std::string& preprocessor_name = "preprocessor_config.json");

/// The texts of the same files.
std::string open_clip_config_text(const checkpoint_config& c);
std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                           std::int32_t pad);
std::string hf_preprocessor_text(const checkpoint_config& c);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "config-inl.hpp"
#endif
