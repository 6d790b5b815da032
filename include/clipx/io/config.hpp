// Configuration files of checkpoints: open_clip_config.json, Hugging Face's config.json and preprocessor_config.json, read and
// written. What clipx does not compute is refused by name; nothing that changes answers is guessed.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "../image/preprocess.hpp"
#include "../model/config.hpp"
#include "../text/vocabulary.hpp"

namespace clipx {

enum class layout { open_clip, hf };

/// Which option of checkpoint_options settles a question that a file leaves open; empty or 0: ask the file.
struct config_answers {
  std::string activation;  // "quick_gelu" or "gelu"
  dim head_width = 0;      // of the image tower
};

struct checkpoint_config {
  clip_config model;
  preprocess_config pixels;
  tokenizer_options text;
  layout keys = layout::open_clip;
};

/// Each throws one clipx::error that lists all it finds wrong in the text; `name` stands for the file.
checkpoint_config read_open_clip_config(std::string_view json, const std::string& name, const config_answers& answers = {});
/// preprocessor: the text of preprocessor_config.json; empty: CLIP's own preprocessing at the config's image size.
checkpoint_config read_hf_config(std::string_view json, std::string_view preprocessor, const std::string& name,
                                 const config_answers& answers = {});

/// The texts of the same files.
std::string open_clip_config_text(const checkpoint_config& c);
std::string hf_config_text(const checkpoint_config& c, const std::string& dtype, std::int32_t sot, std::int32_t eot,
                           std::int32_t pad);
std::string hf_preprocessor_text(const checkpoint_config& c);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "config-inl.hpp"
#endif
