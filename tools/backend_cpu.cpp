#include <clipx/cpu.hpp>
#include <clipx/run/load_any.hpp>

#include "backends.hpp"

namespace cli {

std::unique_ptr<clipx::any_trainer> make_cpu_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                     const engine_options& o);

backend_calls cpu_backend() {
  return {.load =
              [](clipx::checkpoint source, const engine_options& o) {
                const clipx::cpu_options device{.threads = o.threads, .deterministic = o.deterministic};
                if (o.precision == "bf16") return clipx::load_any<clipx::cpu<clipx::bf16>>(std::move(source), device);
                return clipx::load_any<clipx::cpu<float>>(std::move(source), device);
              },
          .train = make_cpu_trainer,
          .describe = [] { return clipx::cpu<float>().describe(); },
          .resampler = clipx::cpu<float>::pixels_resampler};
}

}  // namespace cli
