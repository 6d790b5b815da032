// AdamW over a model's flat memory, with master weights in A if weights are stored in a narrower type,
// and an average of the weights.
#pragma once
#include <functional>
#include <utility>
#include <vector>

#include "../core/function_ref.hpp"
#include "../core/params.hpp"
#include "../core/step.hpp"

namespace clipx {

/// AdamW's numbers; see adamw_step.
struct optimizer_options {
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-6;  // the paper's for a ViT; 0.999 and 1e-8 for a ResNet
  double weight_decay = 0.2;  // of matrices; not of biases, gains, the class embedding and the log scale (docs/clip.md section 9.2)
  double max_norm = 0;        // gradients are scaled down to this norm; 0: no clipping
  double average = 0;         // decay per step of the weights' exponential moving average; 0: no average
};

/// The part of the training state that belongs to the weights. The model must own its memory, and outlive this object where it is.
/// Parameters for which `trained` returns false (a locked tower) and running statistics are not changed.
template <backend B>
class optimizer {
 public:
  using T = scalar_t<B>;
  using A = accum_t<B>;
  static constexpr bool wide = std::is_same_v<T, A>;  // weights are their own master weights

  /// Moments of zero; the master weights and the average begin with the model's weights.
  template <class Model>
  explicit optimizer(
      Model& model, const optimizer_options& o = {},
      function_ref<bool(const std::string&)> trained = [](const std::string&) { return true; })
      : optimizer(model.device(), parameters_of(model), model.memory(), o, trained) {
    if constexpr (requires { model.clamp(); }) clamp_ = [&model] { model.clamp(); };
  }

  /// One step with the gradient `grad`, the memory of a model of the same shape, which is then cleared.
  void update(flat<B>& grad, double lr) {
    auto& memory = device_->memory();
    const auto start = memory.here();
    const auto squares = memory.template take<A>(1, 1);
    device_->fill(squares, A(0));
    if (options_.max_norm > 0)
      for (auto& p : spans_)
        p.high ? device_->sum_squares(high_of(grad, p), squares) : device_->sum_squares(low_of(grad, p), squares);
    ++count_;
    for (auto& p : spans_) {
      const adamw_step s{.lr = lr,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .decay = p.decayed ? options_.weight_decay : 0,
                         .max_norm = options_.max_norm,
                         .count = count_};
      const auto of = [&](const buffer<A>& b) { return mat<A>(b.data() + p.from, 1, p.n); };
      if (p.high) {
        const mat<A> weights(memory_->high.data() + p.from, 1, p.n);
        device_->adamw(s, mat<const A>(squares), high_of(grad, p), weights, of(high_.m), of(high_.v));
      } else {
        const mat<T> weights(memory_->low.data() + p.from, 1, p.n);
        if constexpr (wide) device_->adamw(s, mat<const A>(squares), low_of(grad, p), weights, of(low_.m), of(low_.v));
        else device_->adamw(s, mat<const A>(squares), low_of(grad, p), of(low_.master), of(low_.m), of(low_.v), weights);
      }
    }
    memory.release(start);
    if (clamp_) clamp_();
    if (options_.average > 0)
      for (bool high : {false, true}) {
        auto& s = high ? high_ : low_;
        device_->lerp(1 - options_.average, master(high), s.mean.as_mat(1, s.mean.size()));
      }
    clear(grad);
  }
  void clear(flat<B>& grad) {  // sets a gradient to zero
    device_->fill(grad.low.as_mat(1, grad.low.size()), T(0));
    if (grad.high.size() > 0) device_->fill(grad.high.as_mat(1, grad.high.size()), A(0));
  }

  dim count() const { return count_; }  // steps done
  /// For checkpoints: f(name, shape, view in A) for every tensor of "weights" (masters), "m", "v" and, if there is one, "average".
  void each_state(function_ref<void(const std::string&, const shape&, mat<A>)> f) {
    for (auto& p : parameters_) {
      auto& kept = p.low ? low_ : high_;
      const auto part = [&](const buffer<A>& b) { return mat<A>(b.data() + offset(p), p.shape.rows(), p.shape.cols()); };
      if (p.high) f("weights." + p.name, p.shape, *p.high);
      else if constexpr (wide) f("weights." + p.name, p.shape, *p.low);
      else f("weights." + p.name, p.shape, part(kept.master));
      f("m." + p.name, p.shape, part(kept.m));
      f("v." + p.name, p.shape, part(kept.v));
      if (options_.average > 0) f("average." + p.name, p.shape, part(kept.mean));
    }
  }
  /// Call after each_state has written a checkpoint's values: copies the masters to the weights and sets the number of steps done.
  void restored(dim count) {
    count_ = count;
    const dim low = low_.master.size();
    if constexpr (!wide) device_->copy(mat<const A>(low_.master.as_mat(1, low)), memory_->low.as_mat(1, low));
  }
  /// Sets the running statistics of the average to those of another model of the same shape, whose memory this is.
  void average_statistics(const flat<B>& from) {
    for (auto& p : parameters_) {
      if (p.role != role::buffer || (p.low && !wide)) continue;
      const dim rows = p.shape.rows(), cols = p.shape.cols();
      const auto put = [&](const auto& memory, state& to) {
        device_->copy(mat<const A>(memory.data() + offset(p), rows, cols), mat<A>(to.mean.data() + offset(p), rows, cols));
      };
      if (p.high) put(from.high, high_);
      else if constexpr (wide) put(from.low, low_);
    }
  }
  /// Copies the averaged weights to another model of the same shape, whose memory this is.
  void average(flat<B>& to) {
    expect(options_.average > 0, "optimizer: no average is kept");
    device_->copy(mat<const A>(low_.mean.as_mat(1, low_.mean.size())), to.low.as_mat(1, low_.mean.size()));
    if (high_.mean.size() > 0)
      device_->copy(mat<const A>(high_.mean.as_mat(1, high_.mean.size())), to.high.as_mat(1, high_.mean.size()));
  }

 private:
  optimizer(B& device, parameter_list<B> parameters, flat<B>& memory, const optimizer_options& o,
            function_ref<bool(const std::string&)> trained)
      : device_(&device), parameters_(std::move(parameters)), memory_(&memory), options_(o) {
    const dim low = memory.low.size(), high = memory.high.size();
    expect(low > 0, "optimizer: the model does not own its parameters");
    low_ = make(low, !wide);
    high_ = make(high, false);
    if constexpr (!wide) device_->copy(mat<const T>(memory.low.data(), 1, low), low_.master.as_mat(1, low));
    if (o.average > 0) {
      device_->copy(master(false), low_.mean.as_mat(1, low));
      device_->copy(master(true), high_.mean.as_mat(1, high));
    }
    for (bool decayed : {true, false})
      for (auto& p : parameters_)
        if (p.role == role::weight && (p.shape.sizes.size() > 1) == decayed && trained(p.name)) extend(p, decayed);
  }
  struct span {
    dim from, n;
    bool high, decayed;
  };
  struct state {
    buffer<A> master, m, v, mean;
  };
  state make(dim n, bool with_master) {
    const auto some = [&](bool wanted) { return wanted && n > 0 ? device_->template alloc<A>(n) : buffer<A>(); };
    return {some(with_master), some(true), some(true), some(options_.average > 0)};
  }
  /// The first element of a parameter in its memory.
  dim offset(const parameter<B>& p) const {
    return p.low ? p.low->data - memory_->low.data() : p.high->data - memory_->high.data();
  }
  /// Merges adjacent tensors that are treated alike into one span, including the zeros between them.
  void extend(const parameter<B>& p, bool decayed) {
    const bool high = p.high != nullptr;
    const dim at = offset(p), n = p.shape.count();
    constexpr dim gap = 64;
    for (auto last = spans_.rbegin(); last != spans_.rend(); ++last) {
      if (last->high != high || last->decayed != decayed) continue;
      if (const dim end = last->from + last->n; at >= end && at - end < gap) return void(last->n = at + n - last->from);
      break;
    }
    spans_.push_back({at, n, high, decayed});
  }
  static mat<const T> low_of(flat<B>& grad, const span& p) { return {grad.low.data() + p.from, 1, p.n}; }
  static mat<const A> high_of(flat<B>& grad, const span& p) { return {grad.high.data() + p.from, 1, p.n}; }
  mat<const A> master(bool high) {
    if (high) return {memory_->high.data(), 1, high_.m.size()};
    if constexpr (wide) return {memory_->low.data(), 1, low_.m.size()};
    else return {low_.master.data(), 1, low_.m.size()};
  }

  B* device_;
  parameter_list<B> parameters_;
  flat<B>* memory_;
  optimizer_options options_;
  std::function<void()> clamp_;
  state low_, high_;
  std::vector<span> spans_;
  dim count_ = 0;
};
/// The optimizer of a model.
template <class Model>
optimizer(
    Model&, const optimizer_options& = {}, function_ref<bool(const std::string&)> = [](const std::string&) { return true; })
    -> optimizer<typename Model::backend_type>;

}  // namespace clipx
