// load_any: a checkpoint on a new device, as an any_model.
#pragma once
#include "../core/backend.hpp"
#include "any_model.hpp"

namespace clipx {

/// Loads a checkpoint on a new device B(options...), for whichever architecture it has. Errors: those of the device's constructor
/// and of load().
///
/// clipx::eigen-compiled contains load_any for eigen<float> and eigen<double>, clipx::cpu-compiled for cpu<float> and cpu<bf16>,
/// with and without cpu_options. To use another device or other options with those targets, include any_model_of.hpp.
template <backend B, class... DeviceOptions>
any_model load_any(checkpoint source, const DeviceOptions&... options);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "any_model_of.hpp"
#endif
