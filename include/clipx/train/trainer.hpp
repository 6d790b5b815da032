// trainer: a model with everything that its training needs. A step takes a batch of pairs; everything random in it is a function of
// the seed and the number of the step, so a restored trainer continues as if it had never stopped.
#pragma once
#include <limits>
#include <optional>

#include "../checkpoint/config.hpp"
#include "../core/random.hpp"
#include "gradients.hpp"
#include "init.hpp"
#include "optimizer.hpp"
#include "schedule.hpp"

namespace clipx {

/// What a training consists of besides the model and the data.
struct trainer_options {
  gradient_options gradients = {};   // with train_image or train_text false, that tower's weights do not change
  optimizer_options optimizer = {};  // how weights are updated
  cosine_schedule schedule = {};     // the learning rate of each step
  /// Fraction of a ViT's patches that are dropped, different ones for each image and step; none: that of clip_config::dropout.
  std::optional<double> patch_dropout = {};
  dim whole_from = -1;     // from this step on no patches are dropped; -1: never
  std::uint64_t seed = 0;  // for the initial weights and the patch dropout
};

/// Returns the options. Errors: a number that is not finite, or outside what makes sense: optimizer_options::beta1 and beta2 from 0
/// to below 1, eps from 1e-30 to 1, weight_decay from 0 to 1e9, max_norm 0 or from 1e-12 to 1e9, average from 0 to below 1;
/// cosine_schedule::peak from 0 to 1e9, warmup from 0, total from 1; no negative tiles or chunks; patch_dropout from 0 to below 1.
const trainer_options& check_options(const trainer_options& o);

/// The options of a model's trainer: without a patch_dropout, they get the configuration's. Errors: those of check_options(); an
/// image tower to be trained with a dropout that clipx does not have, image_dropout::values or paths.
trainer_options options_for(trainer_options o, const clip_config& model);

/// The patches to keep for N images of L tokens: (N, L') rows, each image's class token first. Empty if dropout is 0. Errors: N L
/// rows are more than their numbers can count, 2^31 - 1.
std::vector<std::int32_t> choose_patches(dim N, dim L, double dropout, const draws& draw);

/// Architecture and Loss are policies, from clipx's lists or the caller's own.
template <class Architecture, backend B, class Loss = contrastive>
class trainer {
 public:
  using model_type = trainable<Architecture, B, Loss>;  // towers and loss
  /// A model with initial weights; its images are normalized as the checkpoint configuration says, which write_model writes.
  /// Errors: a configuration of another architecture or loss, or an inconsistent one; those of options_for(); patch dropout for an
  /// architecture that does not support it.
  trainer(B& device, const checkpoint_config& config, const trainer_options& o)
      : config_(with_loss(config)),
        options_(options_for(o, config_.model)),
        model_(device, config_.model),
        grad_(model_.zeros_like()),
        optimizer_(initialized(), o.optimizer, [&](const std::string& name) { return is_trained(name, o.gradients); }),
        gradients_(model_, config_.pixels, o.gradients) {
    expect(*options_.patch_dropout == 0 || has_tokens<visual_type>, error_kind::mismatch, [&] {
      return cat("patch dropout: not supported by the architecture ", Architecture::config::name, ", got ", *options_.patch_dropout,
                 "; set trainer_options::patch_dropout to 0, or patch_dropout in vision_cfg of the model's configuration");
    });
  }
  trainer(const trainer&) = delete;

  /// One optimizer step on N images (N, n n 3), 8-bit RGB, and their texts (ids from start to end).
  void step(std::span<const std::uint8_t> rgb, std::span<const std::vector<std::int32_t>> texts) {
    step(rgb, packed_texts::pack(texts, config_.model.text));
  }
  /// The same with texts that are already packed, as a loader returns them.
  void step(std::span<const std::uint8_t> rgb, const packed_texts& texts) {
    gradients_({rgb, texts, choose_patches_of(texts.count())}, grad_);
    optimizer_.update(grad_.memory(), options_.schedule(count()));
    const auto& g = options_.gradients;
    if (options_.optimizer.average > 0 && has_statistics<visual_type, B> && g.batch_statistics && g.train_image)
      last_.assign(rgb.begin(), rgb.end());
  }
  /// Gives the averaged weights their own BatchNorm statistics, measured on the last step's images (Izmailov et al. 2018, section
  /// 3.2): averaged weights have a smaller norm than the weights they average, so averaged running statistics would be far too
  /// large. Called by everything that writes the average. Does nothing before the first step, without an average, for a ViT, or
  /// with frozen statistics.
  void fit_average() {
    if (last_.empty()) return;
    auto averaged = model_.zeros_like();
    optimizer_.average(averaged.memory());
    pair_gradients<model_type>(averaged, config_.pixels, options_.gradients).fit_statistics(last_);
    optimizer_.average_statistics(averaged.memory());
  }
  /// Call after a checkpoint's values were written through the optimizer: sets the number of steps done.
  void restored(dim count) {
    optimizer_.restored(count);
    last_.clear();
  }
  /// Loss of the last step's batch; waits for the device.
  double loss() { return gradients_.loss(); }
  /// Losses of the last out.size() steps, oldest first; waits for the device. Errors: more than losses_kept, or more than the
  /// number of steps that this trainer has done itself.
  void losses(std::span<double> out) { gradients_.losses(out); }
  static constexpr dim losses_kept = pair_gradients<model_type>::losses_kept;  // how many steps losses() can go back
  /// The learning rate of the next step.
  double learning_rate() const { return options_.schedule(count()); }
  /// How the model scores now; waits for the device.
  scoring score() { return scoring_now(model_); }
  /// Number of steps done.
  dim count() const { return optimizer_.count(); }
  const trainer_options& options() const { return options_; }  // as options_for() returns them
  const checkpoint_config& config() const { return config_; }  // of the checkpoints that it writes
  model_type& model() { return model_; }                       // the weights
  clipx::optimizer<B>& optimizer() { return optimizer_; }      // moments, master weights, average

 private:
  using visual_type = typename model_type::towers_type::visual_type;
  static bool is_trained(const std::string& name, const gradient_options& o) {
    for (auto& [own, s] : Loss::shapes())
      if (own == name) return true;
    return name.starts_with("visual.") ? o.train_image : o.train_text;
  }
  static checkpoint_config with_loss(checkpoint_config c) {
    if (!c.model.loss) c.model.loss = typename Loss::config{};
    (void)c.model.loss.as<typename Loss::config>();  // errors: another loss
    check_config(c);
    return c;
  }
  std::vector<std::int32_t> choose_patches_of(dim N) const {
    const bool whole = options_.whole_from >= 0 && count() >= options_.whole_from;
    if constexpr (has_tokens<visual_type>)
      return choose_patches(N, model_.towers.visual.tokens(), whole ? 0 : *options_.patch_dropout,
                            draws(options_.seed, 0x9a7c4, count()));
    else return {};
  }
  /// Initializes the model, before the optimizer copies its weights.
  model_type& initialized() {
    initialize(model_, config_.model, options_.seed);
    return model_;
  }
  checkpoint_config config_;
  trainer_options options_;
  model_type model_, grad_;
  clipx::optimizer<B> optimizer_;
  pair_gradients<model_type> gradients_;
  std::vector<std::uint8_t> last_;  // the last step's images, for fit_average
};

inline const trainer_options& check_options(const trainer_options& o) {
  const auto need = [](bool ok, const char* name, const char* expected, auto got) {  // not ok: also for NaN
    expect(ok, [&] { return cat(name, ": expected ", expected, ", got ", got); });
  };
  const auto within = [](double low, double v, double high) { return v >= low && v <= high; };
  const auto below_one = [](double v) { return v >= 0 && v < 1; };
  const auto& a = o.optimizer;
  need(below_one(a.beta1), "optimizer_options::beta1", "0 to below 1", a.beta1);
  need(below_one(a.beta2), "optimizer_options::beta2", "0 to below 1", a.beta2);
  need(within(1e-30, a.eps, 1), "optimizer_options::eps", "1e-30 to 1", a.eps);
  need(within(0, a.weight_decay, 1e9), "optimizer_options::weight_decay", "0 to 1e9", a.weight_decay);
  need(a.max_norm == 0 || within(1e-12, a.max_norm, 1e9), "optimizer_options::max_norm", "0, or 1e-12 to 1e9", a.max_norm);
  need(below_one(a.average), "optimizer_options::average", "0 to below 1", a.average);
  need(within(0, o.schedule.peak, 1e9), "cosine_schedule::peak", "0 to 1e9", o.schedule.peak);
  need(o.schedule.warmup >= 0, "cosine_schedule::warmup", "0 steps or more", o.schedule.warmup);
  need(o.schedule.total >= 1, "cosine_schedule::total", "1 step or more", o.schedule.total);
  need(o.gradients.chunk >= 0, "gradient_options::chunk", "0 pairs or more", o.gradients.chunk);
  need(o.gradients.loss_tile >= 0, "gradient_options::loss_tile", "0 or more", o.gradients.loss_tile);
  need(below_one(o.patch_dropout.value_or(0)), "patch dropout", "a fraction from 0 to below 1", o.patch_dropout.value_or(0));
  return o;
}

inline trainer_options options_for(trainer_options o, const clip_config& model) {
  check_options(o);
  const auto& asked = model.dropout;
  issue_list issues(error_kind::unsupported);
  const auto need_none = [&](double fraction, const char* name, const char* what) {
    if (fraction == 0 || !o.gradients.train_image) return;
    issues.add(cat("training with ", name, " ", fraction, " (", what, ") is not supported; set it to 0 there"));
  };
  need_none(asked.values, "timm_drop", "dropout");
  need_none(asked.paths, "timm_drop_path", "stochastic depth");
  issues.raise("vision_cfg of the model's configuration");
  if (!o.patch_dropout) o.patch_dropout = asked.patches;
  return o;
}

inline std::vector<std::int32_t> choose_patches(dim N, dim L, double dropout, const draws& draw) {
  std::vector<std::int32_t> rows;
  if (dropout == 0) return rows;
  constexpr dim most = std::numeric_limits<std::int32_t>::max();
  expect(N <= most / L,
         [&] { return cat("patch dropout: expected a batch of at most ", most / L, " images of ", L, " tokens, got ", N); });
  const dim patches = L - 1, left = std::max<dim>(1, static_cast<dim>(static_cast<double>(patches) * (1 - dropout)));
  std::vector<std::int32_t> order(static_cast<std::size_t>(patches));
  for (dim i = 0; i < N; ++i) {
    for (dim p = 0; p < patches; ++p) order[static_cast<std::size_t>(p)] = static_cast<std::int32_t>(i * L + 1 + p);
    rows.push_back(static_cast<std::int32_t>(i * L));
    for (dim p = 0; p < left; ++p) {  // the first `left` elements of a shuffle
      const auto q =
          p + static_cast<dim>(draw.below(static_cast<std::uint64_t>(i * patches + p), static_cast<std::uint64_t>(patches - p)));
      std::swap(order[static_cast<std::size_t>(p)], order[static_cast<std::size_t>(q)]);
    }
    std::sort(order.begin(), order.begin() + left);
    rows.insert(rows.end(), order.begin(), order.begin() + left);
  }
  return rows;
}

}  // namespace clipx
