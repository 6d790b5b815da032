// any_model on the cpu backend, compiled once: the towers of every architecture.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cpu.hpp>
//
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template any_model load_any<cpu<float>>(checkpoint);
template any_model load_any<cpu<float>>(checkpoint, const cpu_options&);
template any_model load_any<cpu<bf16>>(checkpoint);
template any_model load_any<cpu<bf16>>(checkpoint, const cpu_options&);
}  // namespace clipx
