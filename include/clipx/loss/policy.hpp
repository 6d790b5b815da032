// loss_policy: everything specific to a loss that readers, writers and evaluations of checkpoints need at run time; scoring: what a
// trained model makes of cosines.
//
// A new loss is a struct with the members of `contrastive` (loss/contrastive.hpp, the template to copy) and an entry in
// loss/list.hpp; trainer<.., mine> works without the entry.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/config.hpp"
#include "../core/function_ref.hpp"
#include "../core/initial.hpp"
#include "../core/params.hpp"
#include "../io/fields.hpp"

namespace clipx {

inline constexpr double max_log_scale = 4.605170185988092;  // ln 100, the paper's upper bound of the log scale

/// Entry (i, j) of a matrix of cosines: image i with text j.
using cosine_at = function_ref<double(dim, dim)>;

/// One loss at run time. The objects are constant and live as long as the program. Thread-safe.
class loss_policy {
 public:
  static constexpr std::string_view kind = "loss";  // in messages
  template <class L>
  static const loss_policy& of();  // the object for a policy

  virtual ~loss_policy() = default;
  /// In messages.
  virtual std::string_view name() const = 0;
  /// Whether a configuration in open_clip's layout, or a bare file's names, belong to a model trained with this loss.
  virtual bool claims(const fields& model) const = 0;
  /// A parameter that bare files with this loss have, and those with the losses before it in loss/list.hpp do not; empty: there is
  /// none.
  virtual std::string_view telltale() const = 0;
  /// The loss with the configuration that training starts with.
  virtual chosen<loss_policy> defaults() const = 0;
  /// The loss with what a configuration in open_clip's layout says.
  virtual chosen<loss_policy> read(fields& model) const = 0;
  /// Writes the same fields.
  virtual void write(const clip_config& c, field_writer& model) const = 0;

  // The loss's own parameters, in the order of its visit().
  /// Names in a checkpoint and shapes.
  virtual std::vector<std::pair<std::string, shape>> shapes() const = 0;
  /// Where a parameter starts.
  virtual initial_values initial(std::string_view name, const clip_config& c) const = 0;

  /// Turns the cosines of one image with all labels into probabilities, in place. `parameters` in the order of shapes().
  virtual void score(std::span<double> cosines, std::span<const double> parameters) const = 0;
  /// Adds the contribution of n matching pairs, of N in total, to the mean over the N.
  virtual void add_pair_loss(cosine_at cosines, dim n, dim N, std::span<const double> parameters, double& mean) const = 0;
};

namespace detail {
template <class L>
class loss_of final : public loss_policy {
  using config = typename L::config;

 public:
  std::string_view name() const override { return config::name; }
  bool claims(const fields& model) const override { return L::claims(model); }
  std::string_view telltale() const override { return L::telltale; }
  chosen<loss_policy> defaults() const override { return config{}; }
  chosen<loss_policy> read(fields& model) const override { return L::read(model); }
  void write(const clip_config& c, field_writer& model) const override { L::write(c.loss.as<config>(), model); }
  std::vector<std::pair<std::string, shape>> shapes() const override { return L::shapes(); }
  initial_values initial(std::string_view name, const clip_config& c) const override {
    return L::initial(name, c.loss ? c.loss.as<config>() : config{});
  }
  void score(std::span<double> cosines, std::span<const double> parameters) const override { L::score(cosines, parameters); }
  void add_pair_loss(cosine_at cosines, dim n, dim N, std::span<const double> parameters, double& mean) const override {
    L::add_pair_loss(cosines, n, N, parameters, mean);
  }
};
}  // namespace detail

template <class L>
const loss_policy& loss_policy::of() {
  static const detail::loss_of<L> object;
  return object;
}

/// How a trained model scores: its loss, with the values of the loss's parameters. Thread-safe.
class scoring {
 public:
  /// The parameters in the order of loss.shapes().
  scoring(const loss_policy& loss, std::vector<double> parameters) : loss_(&loss), parameters_(std::move(parameters)) {}

  const loss_policy& loss() const { return *loss_; }  // the loss that the model was trained with
  /// In the order of loss().shapes(): first the logarithm of the scale, then the others.
  std::span<const double> parameters() const { return parameters_; }
  /// Cosines of one image with C labels to probabilities, in place: a softmax over the labels, or an independent sigmoid for each.
  void probabilities(std::span<double> cosines) const { loss_->score(cosines, parameters_); }
  /// As loss_policy::add_pair_loss(), with these parameters.
  void add_pair_loss(cosine_at cosines, dim n, dim N, double& mean) const {
    loss_->add_pair_loss(cosines, n, N, parameters_, mean);
  }

 private:
  const loss_policy* loss_;
  std::vector<double> parameters_;
};

}  // namespace clipx
