// AdamW over a model's flat memory, with master weights in A if weights are stored in a narrower type,
// and an average of the weights.
#pragma once
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

/// The part of the training state that belongs to the weights. The model must own its memory and outlive this object. Parameters
/// for which `trained` returns false (a locked tower) and running statistics are not changed.
template <class Model>
class optimizer {
 public:
  using B = typename Model::backend_type;  // the device's type
  using T = scalar_t<B>;
  using A = accum_t<B>;
  static constexpr bool wide = std::is_same_v<T, A>;  // weights are their own master weights

  /// Moments of zero; the master weights and the average begin with the model's weights.
  explicit optimizer(
      Model& model, const optimizer_options& o = {},
      function_ref<bool(const std::string&)> trained = [](const std::string&) { return true; })
      : model_(&model), device_(&model.device()), options_(o) {
    const dim low = model.memory().low.size(), high = model.memory().high.size();
    expect(low > 0, "optimizer: the model does not own its parameters");
    low_ = make(low, !wide);
    high_ = make(high, false);
    if constexpr (!wide) device_->copy(mat<const T>(model.memory().low.data(), 1, low), low_.master.as_mat(1, low));
    if (o.average > 0) {
      device_->copy(master(false), low_.mean.as_mat(1, low));
      device_->copy(master(true), high_.mean.as_mat(1, high));
    }
    for (bool decayed : {true, false})
      walk(model, [&]<class E>(const std::string& name, mat<E>& m, const shape& s, role r) {
        if (r == role::weight && (s.sizes.size() > 1) == decayed && trained(name)) extend(m, s.count(), decayed);
      });
  }

  /// One step with the gradient `grad`, a model of the same shape, which is then cleared.
  void update(Model& grad, double lr) {
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
        const mat<A> weights(model_->memory().high.data() + p.from, 1, p.n);
        device_->adamw(s, mat<const A>(squares), high_of(grad, p), weights, of(high_.m), of(high_.v));
      } else {
        const mat<T> weights(model_->memory().low.data() + p.from, 1, p.n);
        if constexpr (wide) device_->adamw(s, mat<const A>(squares), low_of(grad, p), weights, of(low_.m), of(low_.v));
        else device_->adamw(s, mat<const A>(squares), low_of(grad, p), of(low_.master), of(low_.m), of(low_.v), weights);
      }
    }
    memory.release(start);
    if constexpr (requires { model_->clamp(); }) model_->clamp();
    if (options_.average > 0)
      for (bool high : {false, true}) {
        auto& s = high ? high_ : low_;
        device_->lerp(1 - options_.average, master(high), s.mean.as_mat(1, s.mean.size()));
      }
    clear(grad);
  }
  void clear(Model& grad) {  // sets a gradient to zero
    device_->fill(grad.memory().low.as_mat(1, grad.memory().low.size()), T(0));
    if (grad.memory().high.size() > 0) device_->fill(grad.memory().high.as_mat(1, grad.memory().high.size()), A(0));
  }

  dim count() const { return count_; }  // steps done
  /// For checkpoints: f(name, shape, view in A) for every tensor of "weights" (masters), "m", "v" and, if there is one, "average".
  template <class F>
  void each_state(F&& f) {
    walk(*model_, [&]<class E>(const std::string& name, mat<E>& m, const shape& s, role) {
      const bool high = !std::is_same_v<E, T>;
      auto& kept = high ? high_ : low_;
      const dim at = offset(*model_, m);
      const auto part = [&](const buffer<A>& b) { return mat<A>(b.data() + at, m.rows, m.cols); };
      if constexpr (std::is_same_v<E, A>) f("weights." + name, s, m);
      else f("weights." + name, s, part(kept.master));
      f("m." + name, s, part(kept.m));
      f("v." + name, s, part(kept.v));
      if (options_.average > 0) f("average." + name, s, part(kept.mean));
    });
  }
  /// Call after each_state has written a checkpoint's values: copies the masters to the weights and sets the number of steps done.
  void restored(dim count) {
    count_ = count;
    const dim low = low_.master.size();
    if constexpr (!wide) device_->copy(mat<const A>(low_.master.as_mat(1, low)), model_->memory().low.as_mat(1, low));
  }
  /// Sets the running statistics of the average to those of another model of the same shape.
  void average_statistics(Model& from) {
    walk(from, [&]<class E>(const std::string&, mat<E>& m, const shape&, role r) {
      if constexpr (std::is_same_v<E, A>)
        if (r == role::buffer) {
          auto& mean = (wide ? low_ : high_).mean;
          device_->copy(mat<const A>(m), mat<A>(mean.data() + offset(from, m), m.rows, m.cols));
        }
    });
  }
  /// Copies the averaged weights to another model of the same shape.
  void average(Model& to) {
    expect(options_.average > 0, "optimizer: no average is kept");
    device_->copy(mat<const A>(low_.mean.as_mat(1, low_.mean.size())), to.memory().low.as_mat(1, low_.mean.size()));
    if (high_.mean.size() > 0)
      device_->copy(mat<const A>(high_.mean.as_mat(1, high_.mean.size())), to.memory().high.as_mat(1, high_.mean.size()));
  }

 private:
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
  template <class E>
  static dim offset(Model& of, const mat<E>& m) {
    if constexpr (std::is_same_v<E, T>) return m.data - of.memory().low.data();
    else return m.data - of.memory().high.data();
  }
  /// Merges adjacent tensors that are treated alike into one span, including the zeros between them.
  template <class E>
  void extend(const mat<E>& m, dim n, bool decayed) {
    const bool high = !std::is_same_v<E, T>;
    const dim at = offset(*model_, m);
    constexpr dim gap = 64;
    for (auto last = spans_.rbegin(); last != spans_.rend(); ++last) {
      if (last->high != high || last->decayed != decayed) continue;
      if (const dim end = last->from + last->n; at >= end && at - end < gap) return void(last->n = at + n - last->from);
      break;
    }
    spans_.push_back({at, n, high, decayed});
  }
  static mat<const T> low_of(Model& grad, const span& p) { return {grad.memory().low.data() + p.from, 1, p.n}; }
  static mat<const A> high_of(Model& grad, const span& p) { return {grad.memory().high.data() + p.from, 1, p.n}; }
  mat<const A> master(bool high) {
    if (high) return {model_->memory().high.data(), 1, high_.m.size()};
    if constexpr (wide) return {model_->memory().low.data(), 1, low_.m.size()};
    else return {low_.master.data(), 1, low_.m.size()};
  }

  Model* model_;
  B* device_;
  optimizer_options options_;
  state low_, high_;
  std::vector<span> spans_;
  dim count_ = 0;
};

}  // namespace clipx
