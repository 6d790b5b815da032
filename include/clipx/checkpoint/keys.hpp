// Where a file holds a parameter: our names are open_clip's; architectures define the other layouts (docs/clip.md section 7.1).
#pragma once
#include <string_view>

#include "../architectures/architecture.hpp"
#include "../loss/list.hpp"

namespace clipx {

/// Names and shapes of all parameters of a model, computed without a device: first those of the loss, which a tower alone does not
/// have, then those of the towers in the order of walk().
named_shapes parameter_shapes(const clip_config& config);

/// Where a layout holds a parameter of ours. Errors: the layout has no place for it.
key_source source_of(const clip_config& config, std::string_view name, layout keys);

/// A tensor of a file that holds a parameter of ours, or some of its rows.
struct stored_tensor {
  std::string name;         // in the file
  std::vector<dim> sizes;   // as the file has them
  dim offset = 0;           // of its first value in the parameter
  bool transposed = false;  // stored as (out, in)
  dim count() const;        // number of values
};
/// The tensors that hold a parameter of this shape, in the order of its rows.
std::vector<stored_tensor> stored_tensors(const key_source& source, const shape& s);

/// Tensors that files contain and no computation reads (position_ids, num_batches_tracked, the sizes in OpenAI's archives).
bool is_ignored_key(std::string_view name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "keys-inl.hpp"
#endif
