// The towers of every architecture, and any_model, on the cuda backend, compiled once by the host's compiler.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cuda.hpp>
//
#include <clipx/checkpoint/compiled_models.hpp>
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template struct compiled_towers<architectures, cuda<float>>;
template struct compiled_models<architectures, cuda<float>>;
template struct compiled_towers<architectures, cuda<bf16>>;
template struct compiled_models<architectures, cuda<bf16>>;
template any_model load_any<cuda<float>>(checkpoint);
template any_model load_any<cuda<float>>(checkpoint, const cuda_options&);
template any_model load_any<cuda<bf16>>(checkpoint);
template any_model load_any<cuda<bf16>>(checkpoint, const cuda_options&);
}  // namespace clipx
