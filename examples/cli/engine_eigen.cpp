#include <clipx/eigen.hpp>

#include "engine_of.hpp"

namespace cli {
std::unique_ptr<engine> make_eigen_f64(clipx::checkpoint c) { return make<clipx::eigen<double>>(std::move(c)); }
std::unique_ptr<engine> make_eigen_f32(clipx::checkpoint c) { return make<clipx::eigen<float>>(std::move(c)); }
}  // namespace cli
