#include <clipx/eigen.hpp>
#include <clipx/train/any_trainer_of.hpp>

#include "backends.hpp"

namespace cli {
std::unique_ptr<clipx::any_trainer> make_eigen_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                       const engine_options& o) {
  if (o.precision == "f64") return clipx::make_any_trainer<clipx::eigen<double>>(c, t);
  return clipx::make_any_trainer<clipx::eigen<float>>(c, t);
}
}  // namespace cli
