// Where a file holds a parameter: our names are open_clip's; other layouts are the architecture's to say (spec section 7.1).
#pragma once
#include <string_view>

#include "../architectures/architecture.hpp"
#include "../loss/list.hpp"

namespace clipx {

/// Names and shapes of all parameters of a model, the loss's first, then those of the towers in the order of walk(); without a
/// device.
named_shapes parameter_shapes(const clip_config& config);

/// The place of a parameter of our naming in a layout. Errors: the layout has none.
key_source source_of(const clip_config& config, std::string_view name, layout keys);

/// Tensors that files carry and no computation reads (position_ids, num_batches_tracked, the sizes in OpenAI's archives).
bool is_ignored_key(std::string_view name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "keys-inl.hpp"
#endif
