#include <clipx/eigen.hpp>
#include <clipx/run/load_any.hpp>

#include "backends.hpp"

namespace cli {

std::unique_ptr<clipx::any_trainer> make_eigen_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                       const engine_options& o);

backend_calls eigen_backend() {
  return {.load =
              [](clipx::checkpoint source, const engine_options& o) {
                if (o.precision == "f64") return clipx::load_any<clipx::eigen<double>>(std::move(source));
                return clipx::load_any<clipx::eigen<float>>(std::move(source));
              },
          .train = make_eigen_trainer,
          .describe = [] { return std::string("the reference, float and double, one thread"); }};
}

}  // namespace cli
