// The names of tensors in a file: which layout's they are, and what stands before them where the model was a part of something
// else.
#pragma once
#include <optional>
#include <string>

#include "../architectures/architecture.hpp"
#include "../io/tensor_file.hpp"

namespace clipx::detail {

/// The layout whose names a file has, whatever stands before them; nothing: neither's.
std::optional<layout> layout_of_names(const tensor_file& file);

/// What stands before the layout's names in a file, where the layout's own library takes it away: "module." (open_clip; all names
/// of a model under DataParallel or DistributedDataParallel), "clip." (transformers; a CLIPModel that is a part of another model).
/// Errors: names before which other things stand, or names of the other layout; they say what to save instead.
std::string prefix_of_names(const tensor_file& file, layout keys);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "names-inl.hpp"
#endif
