// trainable: the towers of a model and the loss that trains them, with all parameters in one block of memory.
#pragma once
#include "../loss/contrastive.hpp"
#include "../model/clip.hpp"

namespace clipx {

/// Whether a loss fits an architecture: a loss over a table (Loss::over_table) needs a text side with a table, others need towers.
template <class Loss, class Architecture, class B>
concept suits = has_table<typename Architecture::text::template tower<B>>
== requires { requires Loss::over_table; };

/// What an optimizer updates. Gradients, moments and averages have this type, too.
template <class Architecture, backend B, class Loss = contrastive>
class trainable {
 public:
  using towers_type = clip<Architecture, B>;          // both towers
  using loss_type = typename Loss::template loss<B>;  // the loss
  using backend_type = B;                             // the device's type

  towers_type towers;  // parameters of the towers
  loss_type loss;      // parameters of the loss

  /// Zeroed parameters on the device.
  trainable(B& device, const clip_config& c) : towers(device, c, {}), loss(made(c)) { memory_ = bind(device, *this); }

  template <class V>
  void visit(V& v) {
    v("", loss);
    v("", towers);
  }
  B& device() const { return towers.device(); }                  // where the parameters are
  const clip_config& config() const { return towers.config(); }  // as given
  flat<B>& memory() { return memory_; }                          // all parameters as flat spans
  /// The same in zeroed memory of its own, for a gradient or a moment.
  trainable zeros_like() const { return trainable(device(), config()); }
  /// Restores the constraints on parameters after an optimizer step.
  void clamp() { loss.clamp(device()); }

 private:
  /// Constructs the loss from its configuration, if it takes one.
  static loss_type made(const clip_config& c) {
    if constexpr (std::constructible_from<loss_type, const typename Loss::config&>)
      return loss_type(c.loss.as<typename Loss::config>());
    else return {};
  }
  flat<B> memory_;
};

namespace detail {
/// The values of all parameters, one after the other; waits for the device.
template <backend B>
std::vector<double> downloaded(B& device, const parameter_list<B>& parameters) {
  std::vector<double> values;
  for (auto& p : parameters)
    p.visit([&]<class E>(const mat<E>& m) {
      const std::size_t at = values.size();
      values.resize(at + static_cast<std::size_t>(m.size()));
      device.download(mat<const E>(m), mat<double>(values.data() + at, m.rows, m.cols));
    });
  device.sync();
  return values;
}
}  // namespace detail

/// How a model scores, with the loss's parameters as they are on the device; waits for the device.
template <class Architecture, backend B, class Loss>
scoring scoring_now(trainable<Architecture, B, Loss>& model) {
  return {loss_policy::of<Loss>(), detail::downloaded(model.device(), parameters_of<B>(model.loss))};
}

}  // namespace clipx
