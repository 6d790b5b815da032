// A trainer on one device behind a plain interface, as engine.hpp has it for models.
#pragma once
#include <clipx/train/state.hpp>
#include <memory>

#include "engine.hpp"

namespace cli {

class trainee {
 public:
  virtual ~trainee() = default;
  virtual void step(std::span<const std::uint8_t> rgb, std::span<const std::vector<std::int32_t>> texts) = 0;
  virtual double loss() = 0;
  virtual double log_scale() = 0;
  virtual double learning_rate() = 0;
  virtual clipx::dim count() = 0;
  virtual clipx::dim parameters() = 0;
  virtual void save(const std::string& path, const clipx::state_facts& facts) = 0;
  virtual clipx::state_facts restore(const std::string& path) = 0;
  virtual void start_from(const clipx::checkpoint& c) = 0;
  virtual void write_model(const std::string& folder, const clipx::checkpoint_config& config, const clipx::tokenizer& text) = 0;
};

/// A model with initial weights on the chosen device. Errors as make_engine's.
std::unique_ptr<trainee> make_trainee(const clipx::clip_config& config, const clipx::trainer_options& options,
                                      const engine_options& device);

}  // namespace cli
