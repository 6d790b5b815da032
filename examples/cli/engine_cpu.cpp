// Built only where the cpu backend's packages are found.
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>

#include "engine_of.hpp"

namespace cli {
std::unique_ptr<engine> make_cpu(clipx::checkpoint c, const engine_options& o) {
  const clipx::cpu_options device{.threads = o.threads, .deterministic = o.deterministic};
  if (o.precision == "bf16") return make<clipx::cpu<clipx::bf16>>(std::move(c), device);
  return make<clipx::cpu<float>>(std::move(c), device);
}
clipx::resampler cpu_picture_loops() { return clipx::cpu<float>::pixels_resampler(); }
std::string describe_cpu() { return clipx::cpu<float>().describe(); }
}  // namespace cli
#endif
