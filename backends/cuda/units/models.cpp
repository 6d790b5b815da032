// any_model on the cuda backend, compiled once by the host's compiler: the towers of every architecture.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/cuda.hpp>
//
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template any_model load_any<cuda<float>>(checkpoint);
template any_model load_any<cuda<float>>(checkpoint, const cuda_options&);
template any_model load_any<cuda<bf16>>(checkpoint);
template any_model load_any<cuda<bf16>>(checkpoint, const cuda_options&);
}  // namespace clipx
