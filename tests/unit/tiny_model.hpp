// Tiny checkpoints with a tokenizer, written by the tests for themselves.
#pragma once
#include <clipx/architectures/list.hpp>
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/io/safetensors.hpp>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "temporary.hpp"

namespace tiny {

using clipx::dim;
using tensors = std::map<std::string, std::vector<float>>;

inline constexpr const char* merges = "#version: 0.2\nt h\nth e</w>\nc a\nca t</w>\nr e\nre d</w>\no f</w>\na n\n";
inline constexpr dim vocabulary = 512 + 8 + 2;

inline clipx::checkpoint_config vit() {
  clipx::checkpoint_config c;
  c.model.name = "tiny";
  c.model.embed_dim = 24;
  c.model.vision = clipx::vit_config{32, 8, 64, 2, 128, 2};
  c.model.text = {16, vocabulary, 64, 1, 1, 256, clipx::text_pool::argmax, vocabulary - 1};
  c.pixels.size = 32;
  c.text.context_length = 16;
  return c;
}
inline clipx::checkpoint_config resnet() {
  auto c = vit();
  c.model.vision = clipx::modified_resnet_config{64, 8, 4, {1, 2, 1, 1}};
  c.pixels.size = 64;
  return c;
}

inline clipx::checkpoint_config siglip() {
  auto c = vit().model;
  c.embed_dim = 48;
  c.act = clipx::activation::gelu;
  c.norm_eps = 1e-6;
  c.vision = clipx::siglip_vit_config{32, 8, 48, 2, 100, 2};
  c.text = {16, vocabulary, 32, 2, 1, 128, clipx::text_pool::last, 1, true, true, false};
  c.text.act = clipx::activation::gelu_tanh;
  c.loss = clipx::sigmoid::config{};
  return clipx::default_config(c);
}

/// Every parameter of a config: gains and variances near 1, all else near 0, no two alike.
inline tensors weights(const clipx::clip_config& c) {
  tensors out;
  std::mt19937 bits(7);
  std::normal_distribution<float> normal;
  for (auto& [name, s] : clipx::parameter_shapes(c)) {
    const bool one = name.ends_with("running_var") || (s.sizes.size() == 1 && name.ends_with("weight"));
    auto& v = out[name];
    for (dim i = 0; i < s.count(); ++i) v.push_back((one ? 1.0f : 0.0f) + 0.15f * normal(bits));
    if (name == "logit_scale") v = {3};
  }
  return out;
}

/// All tensors of a checkpoint, in our naming and order, for a model of this configuration.
inline tensors read(const clipx::checkpoint& c, const clipx::clip_config& wanted) {
  tensors out;
  const auto shapes = clipx::parameter_shapes(wanted);
  const auto sources = c.match(wanted);
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    auto& v = out[shapes[i].first];
    v.resize(static_cast<std::size_t>(shapes[i].second.count()));
    sources[i].read(v);
  }
  return out;
}
inline tensors read(const clipx::checkpoint& c) { return read(c, c.config()); }

/// A tensor with its values.
struct tensor {
  std::string name;
  clipx::dtype type;
  std::vector<dim> shape;
  std::function<void(std::span<double>)> values;
};
inline void write(const std::string& path, const std::vector<tensor>& list) {
  std::vector<clipx::tensor_to_write> plain;
  for (auto& t : list) plain.push_back({t.name, t.type, t.shape});
  clipx::write_safetensors(path, plain, [&](std::size_t i, std::span<double> out) { list[i].values(out); });
}

/// The file's tensors; `edit` may change them first.
using edit_list = std::function<void(std::vector<tensor>&)>;
inline void write_weights(const std::string& path, const clipx::clip_config& c, const edit_list& edit = {}) {
  std::vector<tensor> list;
  const auto all = weights(c);
  for (auto& [name, s] : clipx::parameter_shapes(c))
    for (auto& t : clipx::stored_tensors(clipx::source_of(c, name, clipx::layout::open_clip), s))
      list.push_back({t.name, clipx::dtype::f32, t.sizes,
                      [v = all.at(name), from = static_cast<std::size_t>(t.offset)](std::span<double> out) {
                        for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<double>(v[(from + i) % v.size()]);
                      }});
  if (edit) edit(list);
  write(path, list);
}

/// A folder in open_clip's layout with a tokenizer.
inline void write_folder(const std::string& folder, const clipx::checkpoint_config& c = vit(), const edit_list& edit = {}) {
  std::filesystem::create_directories(folder);
  clipx::write_file(folder + "/open_clip_config.json", clipx::open_clip_config_text(c));
  const auto own = folder + "/bpe_simple_vocab_16e6.txt.gz";
  clipx::write_file(own, merges);
  if (c.text.follows == clipx::tokenizer_options::library::hf) {  // which needs the tokenizer of a model of Hugging Face
    for (auto& [name, bytes] : clipx::tokenizer::from_merges(own).files()) clipx::write_file(folder + "/" + name, bytes);
    std::filesystem::remove(own);
  }
  write_weights(folder + "/open_clip_model.safetensors", c.model, edit);
}

}  // namespace tiny
