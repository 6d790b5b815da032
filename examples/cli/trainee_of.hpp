// trainee over a backend: each unit that includes this instantiates training of both towers for one device type.
#pragma once
#include "trainee.hpp"

namespace cli {

template <class Encoder, class B>
class trainee_of final : public trainee {
 public:
  template <class... DeviceOptions>
  trainee_of(const clipx::clip_config& config, const clipx::trainer_options& o, DeviceOptions&&... options)
      : device_(std::forward<DeviceOptions>(options)...), trainer_(device_, config, o) {}

  void step(std::span<const std::uint8_t> rgb, std::span<const std::vector<std::int32_t>> texts) override {
    trainer_.step(rgb, texts);
  }
  double loss() override { return trainer_.loss(); }
  double log_scale() override { return trainer_.log_scale(); }
  double learning_rate() override { return trainer_.learning_rate(); }
  clipx::dim count() override { return trainer_.count(); }
  clipx::dim parameters() override { return clipx::parameter_count(trainer_.model()); }
  void save(const std::string& path, const clipx::state_facts& facts) override {
    clipx::write_training_state(path, trainer_, facts);
  }
  clipx::state_facts restore(const std::string& path) override { return clipx::read_training_state(path, trainer_); }
  void start_from(const clipx::checkpoint& c) override { clipx::read_weights(c, trainer_); }
  void write_model(const std::string& folder, const clipx::checkpoint_config& config, const clipx::tokenizer& text) override {
    clipx::write_model(folder, trainer_, config, text);
  }

 private:
  B device_;
  clipx::trainer<Encoder, B> trainer_;
};

template <class B, class... DeviceOptions>
std::unique_ptr<trainee> make_trainee_on(const clipx::clip_config& c, const clipx::trainer_options& o, DeviceOptions... options) {
  if (c.vision.is_resnet()) return std::make_unique<trainee_of<clipx::modified_resnet, B>>(c, o, options...);
  return std::make_unique<trainee_of<clipx::vit, B>>(c, o, options...);
}

}  // namespace cli
