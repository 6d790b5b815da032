// checkpoint: everything that a folder or file says about a trained model, opened and checked but not yet on a device.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../core/freeze.hpp"
#include "../core/observer.hpp"
#include "../core/params.hpp"
#include "../core/row_source.hpp"
#include "../image/preprocess.hpp"
#include "../io/tensor_file.hpp"
#include "../text/bpe.hpp"
#include "config.hpp"
#include "keys.hpp"

namespace clipx {

namespace detail {
struct opened_model;
}

/// Answers to what a file leaves open.
struct checkpoint_options {
  std::string tokenizer{};       // a merges file, tokenizer.json or a folder; empty: the model's folder
  std::string activation{};      // "quick_gelu", "gelu" or "gelu_tanh", of both towers; empty: the config's
  dim head_width = 0;            // of the image tower; 0: the config's
  std::int32_t eos_id = -1;      // its first occurrence is pooled; 2: the largest id is pooled; -1: as in the config
  decode_options decode = {};    // of image files; part of pixels()
  extra_policies policies = {};  // architectures and losses that are not in clipx's own lists
};

/// One parameter under our name, as a file in either layout holds it.
class weight_source {
 public:
  /// The mapped values if the file has them in this type and order, and aligned; else null. Writes do not reach the file.
  void* in_place(dtype type) const;
  /// The rows of a matrix that the file has in F32, F16 or BF16 and in this order, aligned; empty for others. Valid for the
  /// lifetime of the checkpoint.
  row_source rows() const;
  /// Error: one of the values that in_place() or rows() give is infinite or NaN. It reads all of them, and gives the file's pages
  /// back.
  void expect_finite() const;
  /// All values, converted, in our order. Returns the file's pages to the system afterwards. Error: one that is infinite or NaN.
  void read(std::span<float> out) const;
  /// Returns the pages of mapped bytes to the system until they are read again. Valid for the lifetime of the checkpoint.
  release_callback on_release() const {
    return {file_, [](const void* file, const void* data, std::size_t bytes) {
              static_cast<const tensor_file*>(file)->release(data, bytes);
            }};
  }

 private:
  friend class checkpoint;
  const tensor_file* file_ = nullptr;
  std::vector<const tensor_info*> parts_;
  bool transposed_ = false;
  key_source::resizing positions_ = key_source::resizing::none;
  extent grid_;             // of an image tower's position table
  std::vector<dim> sizes_;  // in our layout
};

/// An open checkpoint: configuration, mapped weights, tokenizer. Copies share them. Thread-safe.
class checkpoint {
 public:
  /// Opens a folder (open_clip_config.json, or config.json of Hugging Face), or a file of weights (.safetensors, or PyTorch's .pt)
  /// whose sizes are inferred. One error lists everything that is wrong or unclear in the configuration or in the tensors, and
  /// names the option that resolves it.
  static checkpoint open(const std::string& path, const checkpoint_options& options = {});
  /// The same for files in memory: those that the folder would hold, or one file of weights. `name` stands in messages and for
  /// the model. Borrowed bytes must outlive the checkpoint and every model made from it; weights are used in place where type and
  /// alignment allow (see named_bytes).
  static checkpoint open(std::vector<named_bytes> files, const checkpoint_options& options = {}, const std::string& name = "model");

  const clip_config& config() const { return config_.model; }  // of the model
  /// The whole configuration: model, preprocessing, tokenization.
  const checkpoint_config& settings() const { return config_; }
  const preprocess_config& pixels() const { return config_.pixels; }  // of images
  /// Read on first use. Errors: the checkpoint has no tokenizer, or one that does not match its config; an image tower alone.
  const tokenizer& text() const;
  /// The files beside the weights: the folder that was opened, or the memory; null where it was a single file.
  const file_set* files() const { return files_.get(); }
  /// What messages call it: the path, or the name of what was in memory.
  const std::string& path() const { return path_; }
  /// What is worth knowing of the files and is no error: settings that were looked for and not found, tensors that are not used.
  const std::vector<std::string>& warnings() const { return warnings_; }
  /// The paths of all files that it is read from, the tokenizer's included; of those in memory there are none.
  std::vector<std::string> inputs() const;
  /// Facts as a JSON object: architecture, image_size, embed_dim, parameters, context_length, vocab_size, activation, layout, ...
  std::string summary() const;

  /// Sources of the parameters of a model of this configuration, in the order of parameter_shapes(): this checkpoint's own, or that
  /// of another model of its architecture, whose position tables may be of another length. One error lists what is missing,
  /// unexpected or of a wrong shape; another architecture.
  std::vector<weight_source> match(const clip_config& wanted) const;

  /// Writes weights, configs, tokenizer files and templates; type "f32", "f16" or "bf16". Every file is written whole or not at
  /// all. The observer's stage is "tensors". Errors: a folder that holds files of a model which these do not replace, or files
  /// that are read; a value that the type cannot hold; a tower alone.
  void write(const std::string& folder, layout keys, const std::string& type, observer& watch = no_observer()) const;

 private:
  struct lazy_tokenizer;
  void infer(const checkpoint_options& options);
  void take(detail::opened_model&& folder);
  void finish(const checkpoint_options& options);
  std::vector<std::pair<std::string, std::string>> texts_to_write(layout keys, const std::string& type) const;
  std::vector<const tensor_info*> unused(std::vector<const tensor_info*> used) const;
  std::string path_, name_;
  std::string prefix_;  // of the tensors' names in the file
  std::vector<std::string> warnings_;
  std::shared_ptr<const file_set> files_;
  checkpoint_config config_;
  std::shared_ptr<const tensor_file> file_;
  std::shared_ptr<lazy_tokenizer> tokenizer_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "checkpoint-inl.hpp"
#include "write-inl.hpp"
#endif
