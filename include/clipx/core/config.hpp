// Sizes and options of a CLIP model, as values: what differs between checkpoints.
#pragma once
#include <cstdint>
#include <string>

#include "activation.hpp"
#include "chosen.hpp"
#include "mat.hpp"

namespace clipx {

class architecture;  // architectures/architecture.hpp
class loss_policy;   // loss/policy.hpp

/// Which row of a text becomes its embedding (docs/clip.md section 4.1).
enum class text_pool { argmax, eos, none };  // largest id, first occurrence; first position of eos_id; none: all rows are kept

/// The text tower; the defaults are those of ViT-B/32.
struct text_config {
  dim context_length = 77;             // tokens of the longest text, start and end included
  dim vocab_size = 49408;              // rows of the token embedding
  dim width = 512;                     // columns between its blocks
  dim heads = 8;                       // attention heads of a block
  dim layers = 12;                     // blocks
  dim mlp_width = 2048;                // columns inside the MLP of a block
  text_pool pool = text_pool::argmax;  // which row becomes the embedding
  std::int32_t eos_id = 49407;         // read only when pool is eos
  friend bool operator==(const text_config&, const text_config&) = default;
};

/// A model: its towers, what they share, and its loss.
struct clip_config {
  std::string name;                         // of the preset or the file, for display
  dim embed_dim = 512;                      // D, the width of the joint embedding space
  activation act = activation::quick_gelu;  // of the MLPs in both towers
  double norm_eps = 1e-5;                   // of LayerNorm and BatchNorm
  chosen<architecture> vision = {};  // the image tower and its sizes, for example vit_config; it also determines the text tower
  text_config text = {};             // the text tower
  chosen<loss_policy> loss = {};     // how the model is trained and how it scores; none: the contrastive loss
};

}  // namespace clipx
