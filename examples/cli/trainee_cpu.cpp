// Built only where the cpu backend's packages are found.
#ifdef CLIPX_HAS_CPU
#include <clipx/cpu.hpp>

#include "trainee_of.hpp"

namespace cli {
std::unique_ptr<trainee> make_cpu_trainee(const clipx::clip_config& c, const clipx::trainer_options& t, const engine_options& o) {
  const clipx::cpu_options device{.threads = o.threads, .deterministic = o.deterministic};
  if (o.precision == "bf16") return make_trainee_on<clipx::cpu<clipx::bf16>>(c, t, device);
  return make_trainee_on<clipx::cpu<float>>(c, t, device);
}
}  // namespace cli
#endif
