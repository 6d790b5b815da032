// Where a parameter stands in a file: our names are open_clip's keys; Hugging Face's are one table (spec 7.1).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "config.hpp"

namespace clipx {

/// The tensors of a file that make up one parameter.
struct key_source {
  std::vector<std::string> parts;  // stacked by rows: in_proj is q, k and v in Hugging Face's layout
  bool transposed = false;         // stored (out, in) where we hold (in, out)
};

/// The place of a parameter of our naming in a layout.
key_source source_of(std::string_view name, layout keys);

/// Tensors that files carry and no computation reads (position_ids, num_batches_tracked, the sizes in OpenAI's archives).
bool is_ignored_key(std::string_view name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "keys-inl.hpp"
#endif
