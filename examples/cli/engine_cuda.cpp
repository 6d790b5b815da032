// Built only where the cuda backend is.
#ifdef CLIPX_HAS_CUDA
#include <clipx/cuda.hpp>

#include "engine_of.hpp"

namespace cli {
std::unique_ptr<engine> make_cuda(clipx::checkpoint c, const engine_options& o) {
  const clipx::cuda_options device{.device = o.gpu, .tf32 = o.tf32, .autotune = o.autotune};
  if (o.precision == "bf16") return make<clipx::cuda<clipx::bf16>>(std::move(c), device);
  return make<clipx::cuda<float>>(std::move(c), device);
}
std::string gpu_missing() { return clipx::cuda_missing(); }
std::string describe_cuda() {
  const auto missing = clipx::cuda_missing();
  return missing.empty() ? clipx::cuda<float>().describe() : missing;
}
}  // namespace cli
#endif
