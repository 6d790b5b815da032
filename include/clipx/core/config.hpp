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

struct text_config {
  dim context_length = 77;
  dim vocab_size = 49408;
  dim width = 512;
  dim heads = 8;
  dim layers = 12;
  dim mlp_width = 2048;
  text_pool pool = text_pool::argmax;
  std::int32_t eos_id = 49407;  // read only when pool is eos
  friend bool operator==(const text_config&, const text_config&) = default;
};

struct clip_config {
  std::string name;                         // of the preset or the file, for display
  dim embed_dim = 512;                      // D, the width of the joint embedding space
  activation act = activation::quick_gelu;  // of the MLPs in both towers
  double norm_eps = 1e-5;
  chosen<architecture> vision = {};  // the image tower and its sizes, for example vit_config; it also determines the text tower
  text_config text = {};
  chosen<loss_policy> loss = {};  // how the model is trained and how it scores; none: the contrastive loss
};

}  // namespace clipx
