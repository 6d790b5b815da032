// any_trainer over a backend: each unit that includes this compiles the training of
// all architectures for the device types that it names.
#pragma once
#include <memory>
#include <type_traits>
#include <utility>

#include "../architectures/list.hpp"
#include "../loss/list.hpp"
#include "../run/any_model_of.hpp"
#include "any_trainer.hpp"
#include "state.hpp"
#include "trained_model.hpp"

namespace clipx {

namespace detail {

template <class Architecture, backend B, class Loss>
struct training_model {
  training_model(trainer<Architecture, B, Loss>& t, checkpoint c) : model(t, c.text()), source(std::move(c)) {}
  trained_model<Architecture, B, Loss> model;
  checkpoint source;
};

template <class Architecture, backend B, class Loss>
class any_training_model final : private training_model<Architecture, B, Loss>,
                                 public any_model_over<trained_model<Architecture, B, Loss>, B> {
 public:
  any_training_model(B& device, trainer<Architecture, B, Loss>& t, checkpoint c)
      : training_model<Architecture, B, Loss>(t, std::move(c)),
        any_model_over<trained_model<Architecture, B, Loss>, B>(device, this->model,
                                                                this->training_model<Architecture, B, Loss>::source) {}
};

template <class Architecture, backend B, class Loss>
class any_trainer_of final : public any_trainer {
 public:
  template <class... DeviceOptions>
  any_trainer_of(const checkpoint_config& config, const trainer_options& o, const DeviceOptions&... options)
      : device_(options...), trainer_(device_, config, o) {}

  void step(std::span<const std::uint8_t> rgb, const packed_texts& texts) override { trainer_.step(rgb, texts); }
  void losses(std::span<double> out) override { trainer_.losses(out); }
  dim losses_kept() const override { return trainer_.losses_kept; }
  scoring score() override { return trainer_.score(); }
  double learning_rate() const override { return trainer_.learning_rate(); }
  dim count() const override { return trainer_.count(); }
  dim parameters() override { return parameter_count(trainer_.model()); }
  void save(const std::string& path, const state_facts& facts) override { write_training_state(path, trainer_, facts); }
  state_facts restore(const std::string& path) override { return read_training_state(path, trainer_); }
  void start_from(const checkpoint& c) override { read_weights(c, trainer_); }
  void write_model(const std::string& folder, const tokenizer& text) override { clipx::write_model(folder, trainer_, text); }
  any_model trained(checkpoint source) override {
    return any_model(std::make_unique<any_training_model<Architecture, B, Loss>>(device_, trainer_, std::move(source)));
  }
  pair_metrics evaluate(const loader_config& held_out, dim most, dim block, observer& watch) override {
    return evaluate_held_out(trained_model(trainer_, *held_out.text), held_out, most, block, watch);
  }

 private:
  B device_;
  trainer<Architecture, B, Loss> trainer_;
};

}  // namespace detail

/// A trainer with initial weights on a new device B(options...), for the architecture and loss that the configuration names (the
/// contrastive loss if it names none). Errors: those of the constructors of the device and of trainer.
template <backend B, class... DeviceOptions>
std::unique_ptr<any_trainer> make_any_trainer(checkpoint_config config, const trainer_options& o, const DeviceOptions&... options) {
  if (!config.model.loss) config.model.loss = loss_of(config.model).defaults();
  return visit_architecture(config.model, [&]<class Architecture>(std::type_identity<Architecture>) {
    return visit_loss(config.model, [&]<class Loss>(std::type_identity<Loss>) -> std::unique_ptr<any_trainer> {
      if constexpr (suits<Loss, Architecture, B>)
        return std::make_unique<detail::any_trainer_of<Architecture, B, Loss>>(config, o, options...);
      else
        fail(error_kind::unsupported, cat("a ", Architecture::config::name, " is not trained with the loss ", Loss::config::name));
    });
  });
}

}  // namespace clipx
