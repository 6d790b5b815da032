#include <clipx/cuda.hpp>
#include <clipx/run/load_any.hpp>

#include "backends.hpp"

namespace cli {

std::unique_ptr<clipx::any_trainer> make_cuda_trainer(const clipx::checkpoint_config& c, const clipx::trainer_options& t,
                                                      const engine_options& o);

backend_calls cuda_backend() {
  return {.load =
              [](clipx::checkpoint source, const engine_options& o) {
                const clipx::cuda_options device{.device = o.gpu, .tf32 = o.tf32, .autotune = o.autotune};
                if (o.precision == "bf16") return clipx::load_any<clipx::cuda<clipx::bf16>>(std::move(source), device);
                return clipx::load_any<clipx::cuda<float>>(std::move(source), device);
              },
          .train = make_cuda_trainer,
          .describe =
              [] {
                const auto missing = clipx::cuda_missing();
                return missing.empty() ? clipx::cuda<float>().describe() : missing;
              },
          .missing = [] { return clipx::cuda_missing(); }};
}

}  // namespace cli
