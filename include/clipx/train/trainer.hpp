// trainer: a model with everything that its training needs. A step takes a batch of pairs; everything random in it is a function of
// the seed and the number of the step, so a restored trainer continues as if it had never stopped.
#pragma once
#include "../checkpoint/config.hpp"
#include "../core/random.hpp"
#include "gradients.hpp"
#include "init.hpp"
#include "optimizer.hpp"
#include "schedule.hpp"

namespace clipx {

/// What a training consists of besides the model and the data.
struct trainer_options {
  gradient_options gradients;   // with train_image or train_text false, that tower's weights do not change
  optimizer_options optimizer;  // how weights are updated
  cosine_schedule schedule;     // the learning rate of each step
  double patch_dropout = 0;     // fraction of a ViT's patches that are dropped, different ones for each image and step
  dim whole_from = -1;          // from this step on no patches are dropped; -1: never
  std::uint64_t seed = 0;       // for the initial weights and the patch dropout
};

/// The patches to keep for N images of L tokens: (N, L') rows, each image's class token first. Empty if dropout is 0.
std::vector<std::int32_t> choose_patches(dim N, dim L, double dropout, const draws& draw);

/// Architecture and Loss are policies, from clipx's lists or the caller's own.
template <class Architecture, backend B, class Loss = contrastive>
class trainer {
 public:
  using model_type = trainable<Architecture, B, Loss>;  // towers and loss
  /// A model with initial weights; its images are normalized as the checkpoint configuration says, which write_model writes.
  /// Errors: a configuration of another architecture or loss, or an inconsistent one; invalid options (patch dropout for an
  /// architecture without tokens, a fraction outside [0, 1)).
  trainer(B& device, const checkpoint_config& config, const trainer_options& o)
      : config_(with_loss(config)),
        options_(o),
        model_(device, config_.model),
        grad_(model_.zeros_like()),
        optimizer_(initialized(), o.optimizer, [&](const std::string& name) { return is_trained(name, o.gradients); }),
        gradients_(model_, config_.pixels, o.gradients) {
    expect(o.patch_dropout >= 0 && o.patch_dropout < 1,
           [&] { return cat("patch dropout: expected a fraction from 0 to below 1, got ", o.patch_dropout); });
    expect(o.patch_dropout == 0 || has_tokens<visual_type>, error_kind::mismatch,
           [] { return cat("patch dropout: a ", Architecture::config::name, " has no patches"); });
  }
  trainer(const trainer&) = delete;

  /// One optimizer step on N images (N, n n 3), 8-bit RGB, and their texts (ids from start to end).
  void step(std::span<const std::uint8_t> rgb, std::span<const std::vector<std::int32_t>> texts) {
    step(rgb, packed_texts::pack(texts, config_.model.text));
  }
  /// The same with texts that are already packed, as a loader returns them.
  void step(std::span<const std::uint8_t> rgb, const packed_texts& texts) {
    gradients_({rgb, texts, choose_patches_of(texts.count())}, grad_);
    optimizer_.update(grad_, options_.schedule(count()));
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
    optimizer_.average(averaged);
    pair_gradients<model_type>(averaged, config_.pixels, options_.gradients).fit_statistics(last_);
    optimizer_.average_statistics(averaged);
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
  const trainer_options& options() const { return options_; }       // as given
  const checkpoint_config& config() const { return config_; }       // of the checkpoints that it writes
  model_type& model() { return model_; }                            // the weights
  clipx::optimizer<model_type>& optimizer() { return optimizer_; }  // moments, master weights, average

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
      return choose_patches(N, model_.towers.visual.tokens(), whole ? 0 : options_.patch_dropout,
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
  clipx::optimizer<model_type> optimizer_;
  pair_gradients<model_type> gradients_;
  std::vector<std::uint8_t> last_;  // the last step's images, for fit_average
};

inline std::vector<std::int32_t> choose_patches(dim N, dim L, double dropout, const draws& draw) {
  std::vector<std::int32_t> rows;
  if (dropout == 0) return rows;
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
