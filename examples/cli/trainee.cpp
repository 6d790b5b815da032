#include "trainee.hpp"

#include <clipx/eigen.hpp>

#include "trainee_of.hpp"

namespace cli {

#ifdef CLIPX_HAS_CPU
std::unique_ptr<trainee> make_cpu_trainee(const clipx::clip_config& c, const clipx::trainer_options& t, const engine_options& o);
#endif
#ifdef CLIPX_HAS_CUDA
std::unique_ptr<trainee> make_cuda_trainee(const clipx::clip_config& c, const clipx::trainer_options& t, const engine_options& o);
#endif

std::unique_ptr<trainee> make_trainee(const clipx::clip_config& config, const clipx::trainer_options& options,
                                      const engine_options& o) {
  check_engine(o);
#ifdef CLIPX_HAS_CPU
  if (o.backend == "cpu") return make_cpu_trainee(config, options, o);
#endif
#ifdef CLIPX_HAS_CUDA
  if (o.backend == "cuda") return make_cuda_trainee(config, options, o);
#endif
  if (o.precision == "f64") return make_trainee_on<clipx::eigen<double>>(config, options);
  return make_trainee_on<clipx::eigen<float>>(config, options);
}

}  // namespace cli
