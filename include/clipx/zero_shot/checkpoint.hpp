// checkpoint: everything that a folder or file says of a trained model, opened but not yet on a device.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../core/params.hpp"
#include "../image/preprocess.hpp"
#include "../io/config.hpp"
#include "../io/keys.hpp"
#include "../io/safetensors.hpp"
#include "../text/bpe.hpp"

namespace clipx {

/// What settles a question that a file leaves open.
struct checkpoint_options {
  std::string tokenizer;   // merges file or tokenizer.json; empty: the folder's
  std::string activation;  // "quick_gelu" or "gelu"; empty: the config's
  dim head_width = 0;      // image tower; 0: the config's
};

class checkpoint;

/// One parameter of our naming as a file holds it, in either layout.
class weight_source {
 public:
  /// The mapped values if the file holds them in this type, this order and aligned; else null. Writes stay private.
  void* in_place(dtype type) const;
  /// All values, converted, in checkpoint order.
  void read(std::span<float> out) const;

 private:
  friend class checkpoint;
  const safetensors* file_ = nullptr;
  key_source key_;
  shape shape_{};
  std::vector<float> resized_;  // a position table of another size
};

class checkpoint {
 public:
  /// A folder (open_clip_config.json, or config.json of Hugging Face), or a .safetensors file whose sizes are inferred.
  /// Errors list all that is wrong or unclear and name the option that settles it.
  static checkpoint open(const std::string& path, const checkpoint_options& options = {});

  const clip_config& config() const { return config_.model; }
  const preprocess_config& pixels() const { return config_.pixels; }
  /// Error: the checkpoint came without a tokenizer.
  const tokenizer& text() const;
  /// Facts as a JSON object: architecture, image_size, embed_dim, parameters, context_length, vocab_size, activation, layout, ...
  std::string summary() const;

  /// Sources of the wanted tensors, in order. One error lists what is missing, extra or misshapen.
  std::vector<weight_source> match(std::span<const std::pair<std::string, shape>> wanted) const;

  /// Writes weights, configs and tokenizer files: layout "open_clip" or "hf"; type "f32", "f16" or "bf16".
  void write(const std::string& folder, const std::string& layout, const std::string& type) const;

 private:
  std::string path_;
  checkpoint_config config_;
  std::shared_ptr<safetensors> file_;
  std::shared_ptr<tokenizer> tokenizer_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "checkpoint-inl.hpp"
#endif
