// Sizes and choices of a CLIP model: what differs between checkpoints, as values.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "../core/activation.hpp"
#include "../core/mat.hpp"

namespace clipx {

inline constexpr double initial_log_scale = 2.659260036932778;          // ln(1 / 0.07), the paper's initial temperature
inline constexpr double initial_sigmoid_log_scale = 2.302585092994046;  // ln 10, where SigLIP's scale begins
inline constexpr double initial_sigmoid_bias = -10;                     // and its bias
inline constexpr double max_log_scale = 4.605170185988092;              // ln 100, where the paper clips the scale

/// Image tower. A vision transformer has layers > 0; a ModifiedResNet has stages[0] > 0 and no patches.
struct vision_config {
  dim image_size = 224;                   // pixels, square
  dim patch_size = 32;                    // ViT only
  dim width = 768;                        // ViT: token width; ResNet: stem width w (features are 32 w)
  dim heads = 12;                         // ViT blocks, or the ResNet's attention pool
  dim mlp_width = 3072;                   // ViT only
  dim layers = 12;                        // ViT: blocks; 0 for a ResNet
  std::array<dim, 4> stages{0, 0, 0, 0};  // ResNet: bottlenecks a stage; zeros for a ViT
  bool is_resnet() const { return stages[0] > 0; }
  dim grid() const { return is_resnet() ? image_size / 32 : image_size / patch_size; }
  dim tokens() const { return grid() * grid() + 1; }
  friend bool operator==(const vision_config&, const vision_config&) = default;
};

/// Which row of a text is its embedding (spec section 4).
enum class text_pool { argmax, eos };  // largest id, first occurrence; first position with eos_id

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
  std::string name;                         // preset or file name, for people
  dim embed_dim = 512;                      // joint width D
  activation act = activation::quick_gelu;  // of the MLPs in both towers
  double norm_eps = 1e-5;
  vision_config vision;
  text_config text;
  /// A model of the sigmoid loss (SigLIP) has a bias of its logits, which begins here (at -10 in the paper), its log scale at
  /// ln 10.
  std::optional<double> initial_logit_bias = std::nullopt;
};

}  // namespace clipx
