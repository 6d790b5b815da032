#include <clipx/cpu.hpp>
#include <clipx/train/any_trainer_of.hpp>

#include "backends.hpp"

namespace cli {
std::unique_ptr<clipx::any_trainer> make_cpu_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                     const engine_options& o) {
  const clipx::cpu_options device{.threads = o.threads, .deterministic = o.deterministic};
  if (o.precision == "bf16") return clipx::make_any_trainer<clipx::cpu<clipx::bf16>>(c, t, device);
  return clipx::make_any_trainer<clipx::cpu<float>>(c, t, device);
}
}  // namespace cli
