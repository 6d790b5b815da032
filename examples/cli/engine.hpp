// One model on one device behind a plain interface: the program's only run-time dispatch is the factory at the foot.
#pragma once
#include <clipx/zero_shot/checkpoint.hpp>
#include <clipx/zero_shot/embeddings.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cli {

struct engine_options {
  std::string backend = "cpu", precision = "f32";
  int threads = 0;  // 0: all
  bool deterministic = false;
  int gpu = 0;  // --device, and the next two: cuda
  bool tf32 = false, autotune = false;
};

/// Bytes on the device: weights, the most that a call took beside them, and what is held for the next one.
struct engine_memory {
  clipx::dim weights = 0, activations = 0, held = 0;
};

class engine {
 public:
  virtual ~engine() = default;
  /// (N, n n 3) 8-bit pixels of the model's size -> unit rows.
  virtual clipx::embeddings<double> images(std::span<const std::uint8_t> rgb) = 0;
  virtual clipx::embeddings<double> texts(std::span<const std::string> texts) = 0;
  /// (x.rows, y.rows), computed in the backend's precision.
  virtual std::vector<double> cosines(const clipx::embeddings<double>& x, const clipx::embeddings<double>& y) = 0;
  virtual double log_scale() = 0;
  virtual std::optional<double> logit_bias() = 0;  // of a model of the sigmoid loss
  virtual engine_memory memory() = 0;
  const clipx::checkpoint& source() const { return source_; }

 protected:
  explicit engine(clipx::checkpoint c) : source_(std::move(c)) {}
  clipx::checkpoint source_;
};

/// What is wrong with these options in every build: a backend that nobody knows, a precision that it does not have; empty: nothing.
std::string engine_usage(const engine_options& options);

/// Why this backend cannot be used here: it is not built in, or there is no GPU; empty: it can. Asking for cuda starts the driver.
std::string backend_missing(const std::string& backend);

/// Errors: engine_usage(), a backend that is not built in, a GPU that is not there.
void check_engine(const engine_options& options);

/// Loads the checkpoint's weights onto the chosen device. Errors as check_engine's.
std::unique_ptr<engine> make_engine(clipx::checkpoint source, const engine_options& options);

/// The fastest loops for pictures in this build; all give the same pixels.
clipx::resampler picture_loops();

/// The backends in this build, with what they use (instruction sets, library versions), a line each.
std::vector<std::string> describe_backends();

}  // namespace cli
