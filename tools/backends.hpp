// The backends of this program, chosen at run time: the list is at the top of backends.cpp, and what a backend brings is in
// backend_<name>.cpp and trainer_<name>.cpp, which are compiled where it is built.
#pragma once
#include <clipx/run/any_model.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace clipx {
class any_trainer;
struct trainer_options;
}  // namespace clipx

namespace cli {

/// --backend and the options of its device.
struct engine_options {
  std::string backend, precision = "f32";
  int threads = 0;  // 0: all
  bool deterministic = false;
  int gpu = 0;  // --device, and the next two: of backends with a GPU
  bool tf32 = false, autotune = false;
};

/// What a backend that is built brings.
struct backend_calls {
  clipx::any_model (*load)(clipx::checkpoint source, const engine_options& options) = nullptr;
  std::unique_ptr<clipx::any_trainer> (*train)(const clipx::checkpoint_config& config, const clipx::trainer_options& how,
                                               const engine_options& options) = nullptr;
  std::string (*describe)() = nullptr;        // instruction sets, library versions
  std::string (*missing)() = nullptr;         // why it cannot be used here; empty: it can
  clipx::resampler (*resampler)() = nullptr;  // loops for images that are faster than the plain ones; null: it has none
  explicit operator bool() const { return load != nullptr; }
};

struct backend_entry {
  std::string name;
  std::vector<std::string> precisions;
  std::string help;  // beside the name in --help; may be empty
  bool gpu;          // it takes --device, --tf32 and --autotune
  backend_calls calls;
};

/// Every backend that there is, built or not.
std::span<const backend_entry> backends();

/// The last that is built and needs no GPU.
std::string default_backend();
bool needs_gpu(const std::string& backend);
/// The names of those that do, "a, b or c".
std::string gpu_backends();

/// What is wrong with these options in every build: a backend that nobody knows, a precision that it does not have; empty: nothing.
std::string engine_usage(const engine_options& options);

/// Why this backend cannot be used here: it is not built in, or there is no GPU; empty: it can. Asking for cuda starts the driver.
std::string backend_missing(const std::string& backend);

/// Loads the checkpoint's weights onto the chosen device. Errors: engine_usage(), backend_missing(), those of loading.
clipx::any_model load_model(clipx::checkpoint source, const engine_options& options);

/// A trainer with initial weights on the chosen device. Errors as load_model's, and those of the trainer.
std::unique_ptr<clipx::any_trainer> make_trainer(const clipx::checkpoint_config& config, const clipx::trainer_options& how,
                                                 const engine_options& options);

/// The fastest loops for images in this build; all give the same pixels.
clipx::resampler image_loops();

/// The backends in this build, with what they use (instruction sets, library versions), a line each.
std::vector<std::string> describe_backends();

}  // namespace cli
