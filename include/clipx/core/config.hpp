// Sizes and options of a CLIP model, as values: what differs between checkpoints.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "activation.hpp"
#include "chosen.hpp"
#include "error.hpp"
#include "extent.hpp"
#include "mat.hpp"

namespace clipx {

class architecture;  // architectures/architecture.hpp
class loss_policy;   // loss/policy.hpp

/// Which row of a text becomes its embedding (docs/clip.md section 4.1). argmax: the largest id, first occurrence; eos: the first
/// position of eos_id; none: all rows are kept; last: the last position of texts that are filled up to the context length; first:
/// the first position; mean: the mean of all positions but padding.
enum class text_pool { argmax, eos, none, last, first, mean };

/// What follows the pooled row of a text tower that is one of Hugging Face's models in open_clip: nothing, a matrix, or an MLP.
enum class text_head { none, linear, mlp };

/// What a text tower that is one of Hugging Face's models has beside its sizes.
struct hf_text_config {
  std::string name;                 // of the model, as in hf_model_name; empty: the tower is none of these
  dim positions = 0;                // rows of its table of positions; 0: they are computed
  dim token_types = 1;              // rows of its table of token types, of which the first is used
  std::int32_t pad_id = 1;          // of padding, which no token sees
  text_head head = text_head::mlp;  // to D columns
  bool positions_after_pad = true;  // whether the first token has the row behind pad_id of that table, as in fairseq; else row 0
  /// The first token's row of the table of positions.
  dim first_position() const { return positions_after_pad ? dim{pad_id} + 1 : 0; }
  friend bool operator==(const hf_text_config&, const hf_text_config&) = default;
};

/// The text tower; the defaults are those of ViT-B/32.
struct text_config {
  dim context_length = 77;                 // tokens of the longest text, start and end included
  dim vocab_size = 49408;                  // rows of the token embedding
  dim width = 512;                         // columns between its blocks
  dim heads = 8;                           // attention heads of a block
  dim layers = 12;                         // blocks
  dim mlp_width = 2048;                    // columns inside the MLP of a block
  text_pool pool = text_pool::argmax;      // which row becomes the embedding
  std::int32_t eos_id = 49407;             // read only when pool is eos
  bool projection = true;                  // whether a projection to D columns follows; without one the tower has D columns itself
  bool projection_bias = false;            // whether the projection has a bias
  bool causal = true;                      // whether a token sees only those before it
  std::optional<activation> act = {};      // of its MLPs; none: as in the image tower
  std::optional<double> norm_eps = {};     // of its LayerNorms; none: as in the image tower
  std::optional<double> layer_scale = {};  // the factors of its blocks' LayerScale before training; none: no LayerScale
  hf_text_config hf = {};                  // of a tower that is one of Hugging Face's models
  /// Whether padding is left out of a text, because no token sees it.
  bool masks_padding() const { return !hf.name.empty(); }
  /// Whether texts are filled up to the context length, because what is pooled depends on their padding.
  bool filled() const { return !masks_padding() && (!causal || pool == text_pool::last); }
  friend bool operator==(const text_config&, const text_config&) = default;
};

/// Which towers a model has. One that has one alone (Hugging Face's single towers) gives embeddings and no scores.
enum class tower_set { both, image, text };

/// What a configuration has left out of the image tower at random in training: fractions, 0 to below 1.
struct image_dropout {
  double patches = 0;  // patch_dropout: of the patches
  double values = 0;   // timm_drop: of the values before timm's head; not supported by a trainer
  double paths = 0;    // timm_drop_path: of the residual branches (stochastic depth); not supported by a trainer
  friend bool operator==(const image_dropout&, const image_dropout&) = default;
};

/// A model: its towers, what they share, and its loss.
struct clip_config {
  std::string name;                         // of the preset or the file, for display
  dim embed_dim = 512;                      // D, the width of the joint embedding space
  activation act = activation::quick_gelu;  // of the MLPs, in both towers unless text.act says otherwise
  double norm_eps = 1e-5;                   // of LayerNorm, in both towers unless text.norm_eps says otherwise, and of BatchNorm
  chosen<architecture> vision = {};    // the image tower and its sizes, for example vit_config; it also determines the text tower
  text_config text = {};               // the text tower
  chosen<loss_policy> loss = {};       // how the model is trained and how it scores; none: the contrastive loss
  tower_set towers = tower_set::both;  // those that the model has; the sizes of another say nothing
  image_dropout dropout = {};          // of training alone

  activation text_act() const { return text.act.value_or(act); }             // of the text tower's MLPs
  double text_norm_eps() const { return text.norm_eps.value_or(norm_eps); }  // of the text tower's LayerNorms
};

/// Error: the model lacks this tower, or of `both` one of them.
inline void expect_towers(const clip_config& c, tower_set wanted, where at = where::here()) {
  if (c.towers == tower_set::both || c.towers == wanted) return;
  const bool image = c.towers == tower_set::image;
  fail(error_kind::unsupported,
       cat(c.name, ": expected a model with ",
           wanted == tower_set::both ? "both towers"
           : image                   ? "a text tower"
                                     : "an image tower",
           ", got ", image ? "an image tower" : "a text tower", " alone"),
       at);
}

}  // namespace clipx
