// any_trainer: a trainer on a device, both chosen at run time, behind one type without template, backend or architecture. It is
// made by make_any_trainer() of any_trainer_of.hpp, where the backend's headers are included.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../checkpoint/checkpoint.hpp"
#include "../data/loader.hpp"
#include "../run/any_model.hpp"
#include "../zero_shot/pairs.hpp"

namespace clipx {

/// The members of trainer and the functions of train/state.hpp, with their contracts. Must be used by one thread at a time.
class any_trainer {
 public:
  virtual ~any_trainer() = default;
  ///@{
  /// As trainer::step().
  virtual void step(std::span<const std::uint8_t> rgb, const packed_texts& texts) = 0;
  /// Losses of the last out.size() steps, oldest first; waits for the device.
  virtual void losses(std::span<double> out) = 0;
  /// How many losses the device keeps.
  virtual dim losses_kept() const = 0;
  /// How the model scores now; waits for the device.
  virtual scoring score() = 0;
  virtual double learning_rate() const = 0;  // of the next step
  virtual dim count() const = 0;             // steps done
  virtual dim parameters() = 0;              // trained values in the model

  /// write_training_state() and read_training_state().
  virtual void save(const std::string& path, const std::vector<std::pair<std::string, std::string>>& facts) = 0;
  /// read_training_state(); returns the facts.
  virtual std::vector<std::pair<std::string, std::string>> restore(const std::string& path) = 0;
  /// read_weights().
  virtual void start_from(const checkpoint& c) = 0;
  /// As write_model() of train/state.hpp.
  virtual void write_model(const std::string& folder, const tokenizer& text) = 0;

  /// The model so far, on the trainer's own device: a trained_model, with the tokenizer and preprocessing of `source`, whose
  /// weights are not read. The trainer must not step while the result exists.
  virtual any_model trained(checkpoint source) = 0;
  /// evaluate_held_out().
  virtual pair_metrics evaluate(const loader_config& held_out, dim most, dim block, observer& watch) = 0;
};

}  // namespace clipx
