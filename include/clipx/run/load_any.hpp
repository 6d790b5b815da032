// load_any: a checkpoint on a new device, as an any_model.
#pragma once
#include "../core/backend.hpp"
#include "any_model.hpp"

namespace clipx {

/// A checkpoint's weights on a new device B(options...), whichever architecture the checkpoint has. Errors: those of the device's
/// constructor and of load().
///
/// clipx::eigen-compiled holds load_any of eigen<float> and eigen<double>, clipx::cpu-compiled that of cpu<float> and cpu<bf16>,
/// clipx::cuda-compiled that of cuda<float> and cuda<bf16>, both with and without the device's options. With those targets, and
/// another device or other options, include any_model_of.hpp.
template <backend B, class... DeviceOptions>
any_model load_any(checkpoint source, const DeviceOptions&... options);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "any_model_of.hpp"
#endif
