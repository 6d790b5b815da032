// The towers of every architecture, and any_model, on the reference backend, compiled once.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/eigen.hpp>
//
#include <clipx/checkpoint/compiled_models.hpp>
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template struct compiled_towers<architectures, eigen<float>>;
template struct compiled_models<architectures, eigen<float>>;
template struct compiled_towers<architectures, eigen<double>>;
template struct compiled_models<architectures, eigen<double>>;
template any_model load_any<eigen<float>>(checkpoint);
template any_model load_any<eigen<double>>(checkpoint);
}  // namespace clipx
