// Sizes and choices of a CLIP model: what differs between checkpoints, as values.
#pragma once
#include <cstdint>
#include <string>

#include "activation.hpp"
#include "chosen.hpp"
#include "mat.hpp"

namespace clipx {

class architecture;  // architectures/architecture.hpp
class loss_policy;   // loss/policy.hpp

/// The row of a text that is its embedding (spec section 4).
enum class text_pool { argmax, eos, none };  // largest id, first occurrence; first position of eos_id; no row is, all are kept

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
  std::string name;                         // of a preset or a file, for people
  dim embed_dim = 512;                      // D, the width of the joint space
  activation act = activation::quick_gelu;  // of the MLPs in both towers
  double norm_eps = 1e-5;
  chosen<architecture> vision = {};  // the image tower and its sizes, for example vit_config; the text tower goes with it
  text_config text = {};
  chosen<loss_policy> loss = {};  // how the model is trained and scores; none: the contrastive loss
};

}  // namespace clipx
