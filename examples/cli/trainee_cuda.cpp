// Built only where the cuda backend is.
#ifdef CLIPX_HAS_CUDA
#include <clipx/cuda.hpp>

#include "trainee_of.hpp"

namespace cli {
std::unique_ptr<trainee> make_cuda_trainee(const clipx::clip_config& c, const clipx::trainer_options& t, const engine_options& o) {
  const clipx::cuda_options device{.device = o.gpu, .tf32 = o.tf32, .autotune = o.autotune};
  if (o.precision == "bf16") return make_trainee_on<clipx::cuda<clipx::bf16>>(c, t, device);
  return make_trainee_on<clipx::cuda<float>>(c, t, device);
}
}  // namespace cli
#endif
