// any_model on the reference backend, compiled once: the towers of every architecture.
#ifndef CLIPX_COMPILED
#define CLIPX_COMPILED
#endif
#include <clipx/eigen.hpp>
//
#include <clipx/run/any_model_of.hpp>

namespace clipx {
template any_model load_any<eigen<float>>(checkpoint);
template any_model load_any<eigen<double>>(checkpoint);
}  // namespace clipx
