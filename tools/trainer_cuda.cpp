#include <clipx/cuda.hpp>
#include <clipx/train/any_trainer_of.hpp>

#include "backends.hpp"

namespace cli {
std::unique_ptr<clipx::any_trainer> make_cuda_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                      const engine_options& o) {
  const clipx::cuda_options device{.device = o.gpu, .tf32 = o.tf32, .autotune = o.autotune};
  if (o.precision == "bf16") return clipx::make_any_trainer<clipx::cuda<clipx::bf16>>(c, t, device);
  return clipx::make_any_trainer<clipx::cuda<float>>(c, t, device);
}
}  // namespace cli
