// The files of a folder that make it a model: what is written there must replace all of them, or a reader would mix two models.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// Whether clipx, open_clip or transformers would read a file of this name as a part of the model in its folder.
bool is_model_file(std::string_view name);
/// Of these, the parts of a tokenizer.
bool is_tokenizer_file(std::string_view name);

/// Error: the folder, where it is there, holds files for which `is_part` is true and which are not among the `names` to be written.
/// `what` names the parameter that a caller must change.
void expect_no_others(const std::string& folder, std::span<const std::string> names, bool (*is_part)(std::string_view),
                      std::string_view what);

/// Error: one of the `names` in the folder is one of the files that are read, by whatever path or link.
void expect_no_inputs(const std::string& folder, std::span<const std::string> names, std::span<const std::string> inputs,
                      std::string_view what);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "model_files-inl.hpp"
#endif
