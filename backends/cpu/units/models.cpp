// The towers of every architecture, and any_model, on the cpu backend, compiled once.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cpu.hpp>
//
#include <clipx/checkpoint/compiled_models.hpp>
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template struct compiled_towers<architectures, cpu<float>>;
template struct compiled_models<architectures, cpu<float>>;
template struct compiled_towers<architectures, cpu<bf16>>;
template struct compiled_models<architectures, cpu<bf16>>;
template any_model load_any<cpu<float>>(checkpoint);
template any_model load_any<cpu<float>>(checkpoint, const cpu_options&);
template any_model load_any<cpu<bf16>>(checkpoint);
template any_model load_any<cpu<bf16>>(checkpoint, const cpu_options&);
}  // namespace clipx
