// Definitions of checkpoint.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>

#include "../io/config-inl.hpp"
#include "../io/positions.hpp"
#include "../model/clip.hpp"
#include "../model/presets.hpp"
#include "checkpoint.hpp"
#include "prompts.hpp"

namespace clipx {
namespace detail {

/// A backend in name only: for walking a model's parameters without a device. Nothing here is ever called.
struct no_device {
  using scalar = float;
  using accum = float;
  using fast = nothing_fast;
  using in = mat<const float>;
  using out = mat<float>;
  arena& memory();
  template <class E>
  buffer<E> alloc(dim);
  void sync();
  void upload(in, out), upload(mat<const std::int32_t>, mat<std::int32_t>), upload(mat<const std::uint8_t>, mat<std::uint8_t>);
  void download(in, out), copy(in, out), fill(out, float),
      pixels(mat<const std::uint8_t>, std::array<float, 3>, std::array<float, 3>, out);
  void gemm(op, op, float, in, in, float, out), add(float, in, float, out), add_rows(in, out), sum_rows(in, out);
  void gather_rows(in, mat<const std::int32_t>, out), scatter_add_rows(in, mat<const std::int32_t>, out);
  void unary(activation, in, out), unary_backward(activation, in, in, out), clamp(out, double, double);
  void layernorm(in, in, in, double, out, out), layernorm_backward(in, in, in, in, out, out, out), column_stats(in, out);
  void batchnorm(in, in, in, in, double, out), batchnorm_backward(in, in, in, double, bool, in, out, out, out);
  void normalize(in, out, out), normalize_backward(in, in, in, out), softmax(out, bool), softmax_backward(in, out);
  void im2col(in, window, out), col2im(in, window, out), avgpool(in, window, out), avgpool_backward(in, window, out);
  void xent_tile(in, in, dim, out, out, out), xent_loss(in, out, out, in, out);
  void xent_tile_backward(in, in, in, in, dim, dim, out, out), sigmoid_xent_tile(in, in, in, dim, dim, out, out, out, out);
  void sum_squares(in, out), adamw(adamw_step, in, in, out, out, out, out = {});
};

template <class Encoder>
std::vector<std::pair<std::string, shape>> shapes_of(const clip_config& config) {
  no_device none;
  clip<Encoder, no_device> model(none, config, {});
  std::vector<std::pair<std::string, shape>> out;
  walk(model, [&](const std::string& name, auto&, const shape& s, role) { out.emplace_back(name, s); });
  return out;
}

inline std::string text_of(const std::vector<dim>& sizes) {
  std::string out = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) out += cat(i ? ", " : "", sizes[i]);
  return out + "]";
}

inline std::string file_text(const std::string& path) {
  const auto file = mapped_file::open(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

inline bool is_image_table(std::string_view name) { return name == "visual.positional_embedding"; }
inline bool is_text_table(std::string_view name) { return name == "positional_embedding"; }

/// Position tables of another length are resampled when the width agrees (open_clip's layout alone: transformers refuses).
inline bool can_resize(std::string_view name, const std::vector<dim>& have, const std::vector<dim>& want) {
  if (have.size() != 2 || want.size() != 2 || have[1] != want[1] || have[0] < 2) return false;
  if (is_text_table(name)) return true;
  const dim g = static_cast<dim>(std::lround(std::sqrt(static_cast<double>(have[0] - 1))));
  return is_image_table(name) && g * g == have[0] - 1;
}
}  // namespace detail

CLIPX_INLINE std::vector<std::pair<std::string, shape>> parameter_shapes(const clip_config& config) {
  return config.vision.is_resnet() ? detail::shapes_of<modified_resnet>(config) : detail::shapes_of<vit>(config);
}

CLIPX_INLINE void* weight_source::in_place(dtype type) const {
  if (parts_.size() != 1 || transposed_ || parts_[0]->type != type) return nullptr;
  if (parts_[0]->count() != [&] {
        dim n = 1;
        for (dim d : sizes_) n *= d;
        return n;
      }())
    return nullptr;
  return reinterpret_cast<std::uintptr_t>(parts_[0]->data) % static_cast<std::uintptr_t>(size_of(type)) ? nullptr : parts_[0]->data;
}

CLIPX_INLINE void weight_source::read(std::span<float> out) const {
  if (parts_.size() == 1 && parts_[0]->count() != static_cast<dim>(out.size())) {  // a position table of another size
    const dim width = sizes_[1], have = parts_[0]->shape[0], want = sizes_[0];
    std::vector<float> table(static_cast<std::size_t>(parts_[0]->count()));
    to_float(parts_[0]->type, parts_[0]->data, table);
    const auto side = [](dim rows) { return static_cast<dim>(std::lround(std::sqrt(static_cast<double>(rows - 1)))); };
    const auto resized = parts_[0]->name.starts_with("visual.") ? resize_image_positions(table, side(have), side(want), width)
                                                                : resize_text_positions(table, have, want, width);
    std::copy(resized.begin(), resized.end(), out.begin());
    return;
  }
  std::vector<float> stored;
  for (std::size_t at = 0; auto* part : parts_) {
    const auto n = static_cast<std::size_t>(part->count());
    if (transposed_) {
      const auto rows = static_cast<std::size_t>(sizes_[0]), cols = static_cast<std::size_t>(sizes_[1]);
      stored.resize(n);
      to_float(part->type, part->data, stored);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) out[r * cols + c] = stored[c * rows + r];
    } else {
      to_float(part->type, part->data, out.subspan(at, n));
    }
    file_->release(part->data, part->bytes);
    at += n;
  }
}

CLIPX_INLINE std::vector<weight_source> checkpoint::match(std::span<const std::pair<std::string, shape>> wanted) const {
  std::vector<weight_source> out;
  std::vector<std::string> issues;
  std::set<const tensor_info*> used;
  for (auto& [name, want] : wanted) {
    auto source = source_of(name, config_.keys);
    weight_source w;
    w.file_ = file_.get(), w.transposed_ = source.transposed, w.sizes_ = want.sizes;
    for (auto& part : source.parts) {
      const auto* t = file_->find(part);
      if (!t && config_.keys == layout::open_clip && !name.starts_with("visual.") && !name.starts_with("logit_"))
        t = file_->find("text." + part);
      if (!t) {
        issues.push_back(cat("missing: ", part, " ", want.text()));
        continue;
      }
      used.insert(t);
      auto expected = want.sizes;
      if (source.parts.size() > 1) expected[0] /= static_cast<dim>(source.parts.size());
      if (source.transposed) std::swap(expected[0], expected[1]);
      const bool scalar = want.sizes.empty() && t->count() == 1;
      const bool resized = config_.keys == layout::open_clip && detail::can_resize(name, t->shape, expected);
      if (t->shape != expected && !scalar && !resized)
        issues.push_back(cat("shape: ", part, ": expected ", detail::text_of(expected), ", got ", detail::text_of(t->shape)));
      if (t->type != dtype::f32 && t->type != dtype::f16 && t->type != dtype::bf16 && t->type != dtype::f64)
        issues.push_back(cat("type: ", part, ": expected F32, F16, BF16 or F64, got ", name_of(t->type)));
      w.parts_.push_back(t);
    }
    out.push_back(std::move(w));
  }
  for (auto& t : file_->tensors())
    if (!used.contains(&t) && !is_ignored_key(t.name)) issues.push_back(cat("extra: ", t.name, " ", detail::text_of(t.shape)));
  if (issues.size() > 24) issues.resize(24), issues.push_back("... and more");
  if (!issues.empty()) issues.push_back("the tensors do not fit the configuration");
  detail::throw_all(file_->path(), issues);
  return out;
}

/// The tokenizer, read when it is asked for: image-only users never pay for it.
struct checkpoint::lazy_tokenizer {
  std::function<tokenizer()> make;
  bool named = false;  // by an option, not found in the model's folder
  std::once_flag once;
  std::optional<tokenizer> value;
};

CLIPX_INLINE const tokenizer& checkpoint::text() const {
  std::call_once(tokenizer_->once, [&] {
    auto t = tokenizer_->make();
    std::vector<std::string> issues;
    const auto& c = config_.model.text;
    if (t.vocab_size() > c.vocab_size)
      issues.push_back(
          cat("the tokenizer has ", t.vocab_size(), " tokens, the text tower ", c.vocab_size, "; --tokenizer names another"));
    if (c.pool == text_pool::eos && c.eos_id != t.eot())
      issues.push_back(cat("the config pools token ", c.eos_id, ", the tokenizer ends texts with ", t.eot(),
                           ": every text would have the same embedding; --eos-id settles it"));
    if (c.pool == text_pool::argmax && t.eot() != t.vocab_size() - 1)
      issues.push_back(cat("the config pools the largest id, and the tokenizer's end token ", t.eot(),
                           " is not the largest of its ", t.vocab_size(), "; --eos-id settles it"));
    detail::throw_all(path_, issues);
    tokenizer_->value = std::move(t);
  });
  return *tokenizer_->value;
}

/// Sizes from the shapes of a bare file, as openai/CLIP does (spec 7.3). What shapes cannot say must be said by the caller.
CLIPX_INLINE void checkpoint::infer(const checkpoint_options& o) {
  auto& c = config_.model;
  auto& v = c.vision;
  const bool hf = file_->find("text_projection.weight") || file_->find("visual_projection.weight");
  expect(!hf, [&] { return cat(path_, ": these are Hugging Face's names; open the folder with config.json, not the file alone"); });
  std::vector<std::string> issues;
  const auto sizes = [&](const char* name, std::size_t rank) -> std::vector<dim> {
    const auto* t = file_->find(name);
    if (t && t->shape.size() == rank &&
        std::all_of(t->shape.begin(), t->shape.end(), [](dim d) { return d > 0 && d < (dim{1} << 24); }))
      return t->shape;
    issues.push_back(t ? cat(name, ": has the shape ", detail::text_of(t->shape)) : cat(name, " is missing"));
    return std::vector<dim>(rank, 1);
  };
  const auto side = [](dim rows) {
    return static_cast<dim>(std::lround(std::sqrt(static_cast<double>(std::max<dim>(rows - 1, 0)))));
  };
  const auto count = [&](const std::string& prefix, const std::string& suffix) {
    dim n = 0;
    while (file_->find(cat(prefix, n, suffix))) ++n;
    return n;
  };
  const auto projection = sizes("text_projection", 2), table = sizes("token_embedding.weight", 2),
             positions = sizes("positional_embedding", 2);
  c.embed_dim = projection[1];
  if (file_->find("logit_bias")) c.initial_logit_bias = initial_sigmoid_bias;
  c.text.width = projection[0], c.text.vocab_size = table[0], c.text.context_length = positions[0];
  c.text.heads = c.text.width / 64, c.text.mlp_width = 4 * c.text.width;
  c.text.layers = count("transformer.resblocks.", ".attn.in_proj_weight");
  if (c.text.width % 64)
    issues.push_back(cat("the text tower's width, ", c.text.width, ", is no multiple of 64: its heads need a config file"));
  if (file_->find("visual.proj")) {
    const auto conv = sizes("visual.conv1.weight", 4), grid = sizes("visual.positional_embedding", 2);
    v.width = conv[0], v.patch_size = conv[2], v.image_size = conv[2] * side(grid[0]);
    v.layers = count("visual.transformer.resblocks.", ".attn.in_proj_weight");
    if (const auto* fc = file_->find("visual.transformer.resblocks.0.mlp.c_fc.weight"); fc && fc->shape.size() == 2)
      v.mlp_width = fc->shape[0];
    v.heads = o.head_width ? detail::heads_of(v.width, 0, o.head_width, issues) : 0;
    for (auto* p : presets::all())
      if (!o.head_width && !p->vision.is_resnet() && p->vision.width == v.width && p->vision.layers == v.layers)
        v.heads = p->vision.heads;
    if (v.heads == 0)
      issues.push_back(cat("the heads of an image tower of width ", v.width, " cannot be seen from shapes: give --head-width")),
          v.heads = 1;
  } else {
    const auto stem = sizes("visual.layer1.0.conv1.weight", 4), grid = sizes("visual.attnpool.positional_embedding", 2);
    v.layers = 0, v.patch_size = 0, v.mlp_width = 0, v.width = stem[0], v.image_size = 32 * side(grid[0]);
    for (std::size_t s = 0; s < 4; ++s) v.stages[s] = std::max<dim>(1, count(cat("visual.layer", s + 1, "."), ".conv1.weight"));
    v.heads = detail::heads_of(32 * v.width, 64, o.head_width, issues);
  }
  if (o.activation.empty())
    issues.push_back(
        "the activation cannot be seen from shapes: give --activation quick_gelu (OpenAI's weights) or gelu (most of open_clip's)");
  else c.act = detail::activation_named(o.activation, "--activation", issues);
  config_.keys = layout::open_clip, config_.text = tokenizer_options::open_clip();
  config_.pixels.size = v.image_size, config_.text.context_length = c.text.context_length;
  if (issues.empty()) detail::check_sizes(c, issues);
  detail::throw_all(path_, issues);
}

CLIPX_INLINE checkpoint checkpoint::open(const std::string& path, const checkpoint_options& o) {
  namespace fs = std::filesystem;
  std::error_code none;
  expect(fs::exists(path, none), [&] { return cat(path, ": no such file or folder"); });
  checkpoint out;
  out.path_ = path;
  const config_answers answers{o.activation, o.head_width};
  const auto there = [&](const char* name) { return fs::exists(fs::path(path) / name, none); };
  const auto inside = [&](const char* name) { return (fs::path(path) / name).string(); };
  const auto weights = [&](std::initializer_list<const char*> names) {
    std::string list;
    for (auto* n : names) {
      if (there(n)) return std::make_shared<safetensors>(safetensors::open(inside(n)));
      list += cat(list.empty() ? "" : ", ", n);
    }
    const bool pickle = there("pytorch_model.bin") || there("open_clip_pytorch_model.bin") || there("open_clip_model.pt");
    fail(cat(path, ": no weights: expected one of ", list,
             pickle ? "; its PyTorch file can hold code and is not read: save it again as safetensors" : ""));
  };
  if (!fs::is_directory(path, none)) {
    if (path.ends_with(".json") && !path.ends_with(".index.json"))
      fail(cat(path, ": expected a model's folder or a .safetensors file, got a JSON file"));
    out.file_ = std::make_shared<safetensors>(safetensors::open(path));
    out.infer(o);
    out.name_ = fs::path(path).stem().string();
  } else {
    out.folder_ = path;
    auto folder_name = fs::absolute(path, none).lexically_normal();
    if (!folder_name.has_filename()) folder_name = folder_name.parent_path();
    out.name_ = folder_name.filename().string();
    if (there("open_clip_config.json")) {
      out.config_ =
          read_open_clip_config(detail::file_text(inside("open_clip_config.json")), inside("open_clip_config.json"), answers);
      out.file_ = weights({"open_clip_model.safetensors", "open_clip_model.safetensors.index.json", "model.safetensors"});
    } else if (there("config.json")) {
      const auto pixels = there("preprocessor_config.json") ? detail::file_text(inside("preprocessor_config.json")) : std::string();
      out.config_ = read_hf_config(detail::file_text(inside("config.json")), pixels, inside("config.json"), answers);
      out.file_ = weights({"model.safetensors", "model.safetensors.index.json"});
    } else {
      fail(cat(path, ": expected open_clip_config.json or config.json in the folder, found neither"));
    }
  }
  if (o.eos_id >= 0) {
    out.config_.model.text.pool = o.eos_id == 2 ? text_pool::argmax : text_pool::eos;
    out.config_.model.text.eos_id = o.eos_id;
  }
  out.config_.model.name = out.name_;
  for (auto* p : presets::all())
    if (p->vision == out.config().vision && p->embed_dim == out.config().embed_dim && p->text.width == out.config().text.width &&
        p->text.layers == out.config().text.layers)
      out.config_.model.name = p->name;
  const auto wanted = parameter_shapes(out.config());
  out.match(wanted);
  out.tokenizer_ = std::make_shared<lazy_tokenizer>();
  out.tokenizer_->named = !o.tokenizer.empty();
  out.tokenizer_->make = [options = out.config_.text, given = o.tokenizer, folder = out.folder_, path] {
    if (!given.empty()) {
      std::error_code unreadable;
      if (std::filesystem::is_directory(given, unreadable)) return tokenizer::from_folder(given, options);
      return given.ends_with(".json") ? tokenizer::from_json(given, options) : tokenizer::from_merges(given, options);
    }
    expect(!folder.empty(),
           [&] { return cat(path, ": came without a tokenizer; --tokenizer names a merges file, tokenizer.json or folder"); });
    return tokenizer::from_folder(folder, options);
  };
  return out;
}

CLIPX_INLINE std::string checkpoint::summary() const {
  using detail::json;
  const auto& c = config_.model;
  dim parameters = 0, buffers = 0;
  for (auto& [name, s] : parameter_shapes(c)) (name.find(".running_") == std::string::npos ? parameters : buffers) += s.count();
  std::map<std::string, dim> types;
  for (auto& t : file_->tensors())
    if (!is_ignored_key(t.name)) types[std::string(name_of(t.type))] += t.count();
  std::string type;
  for (auto& [name, n] : types) type += (type.empty() ? "" : "+") + name;
  std::transform(type.begin(), type.end(), type.begin(),
                 [](char ch) { return ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch + 32) : ch; });
  const char* modes[] = {"shortest", "squash", "longest"};
  std::string out;
  const auto put = [&](const char* key, const json& value) {
    out += cat(out.empty() ? "{" : ",", "\"", key, "\":", value.dump(-1, ' ', false, json::error_handler_t::replace));
  };
  put("architecture", c.vision.is_resnet() ? "ModifiedResNet" : "ViT"), put("name", c.name), put("image_size", c.vision.image_size);
  if (c.vision.is_resnet()) put("stages", c.vision.stages);
  else put("patch_size", c.vision.patch_size), put("vision_layers", c.vision.layers);
  put("vision_width", c.vision.width), put("vision_heads", c.vision.heads);
  put("text_layers", c.text.layers), put("text_width", c.text.width), put("text_heads", c.text.heads);
  put("embed_dim", c.embed_dim), put("parameters", parameters), put("context_length", c.text.context_length);
  put("vocab_size", c.text.vocab_size), put("activation", detail::name_of(c.act));
  put("text_pool", c.text.pool == text_pool::argmax ? std::string("largest id") : cat("first ", c.text.eos_id));
  put("layout", config_.keys == layout::open_clip ? "open_clip" : "hf");
  put("preprocessing", {{"resize", modes[static_cast<int>(config_.pixels.resize)]},
                        {"interpolation", config_.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear"},
                        {"mean", detail::short_numbers(config_.pixels.mean)},
                        {"std", detail::short_numbers(config_.pixels.std)}});
  put("dtype", type);
  return out + "}";
}

CLIPX_INLINE std::vector<std::string> checkpoint::templates() const {
  const auto file = std::filesystem::path(folder_) / "templates.txt";
  std::error_code none;
  if (folder_.empty() || !std::filesystem::exists(file, none)) return {};
  return read_templates(file.string());
}

CLIPX_INLINE void checkpoint::write(const std::string& folder, layout keys, const std::string& type) const {
  namespace fs = std::filesystem;
  const auto element = type == "f16" ? dtype::f16 : type == "bf16" ? dtype::bf16 : dtype::f32;
  expect(type == "f16" || type == "bf16" || type == "f32", [&] { return cat("--dtype: expected f32, f16 or bf16, got ", type); });
  const auto in = [&](const char* name) { return (fs::path(folder) / name).string(); };
  // What a layout cannot hold is refused before anything is written.
  std::vector<std::pair<std::string, std::string>> texts;
  if (keys == layout::open_clip) {
    texts.emplace_back("open_clip_config.json", open_clip_config_text(config_));
  } else {
    const auto& t = text();
    texts.emplace_back("config.json", hf_config_text(config_, type, t.sot(), t.eot(), t.eot()));
    texts.emplace_back("preprocessor_config.json", hf_preprocessor_text(config_));
  }
  std::error_code none;
  fs::create_directories(folder, none);
  expect(fs::is_directory(folder, none),
         [&] { return cat(folder, ": cannot be made a folder: ", none ? none.message() : std::string("a file has this name")); });
  expect(folder_.empty() || !fs::equivalent(folder, folder_, none),
         [&] { return cat(folder, ": is the model that is read; --out names another folder"); });
  const auto shapes = parameter_shapes(config());
  const auto sources = match(shapes);
  struct piece {
    std::size_t of;  // place in shapes
    dim offset;      // of the first value
    bool transposed;
  };
  std::vector<piece> pieces;
  std::vector<tensor_to_write> tensors;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const auto& [name, s] = shapes[i];
    const auto place = source_of(name, keys);
    const dim parts = static_cast<dim>(place.parts.size()), n = s.count() / parts;
    for (dim p = 0; p < parts; ++p) {
      auto sizes = s.sizes;
      if (parts > 1) sizes[0] /= parts;
      if (place.transposed) std::swap(sizes[0], sizes[1]);
      const bool wide = s.sizes.empty();  // the log-scale keeps its digits
      tensors.push_back({place.parts[static_cast<std::size_t>(p)], wide ? dtype::f32 : element, sizes});
      pieces.push_back({i, p * n, place.transposed});
    }
  }
  std::vector<float> values;
  write_safetensors(in(keys == layout::open_clip ? "open_clip_model.safetensors" : "model.safetensors"), tensors,
                    [&](std::size_t i, std::span<double> out) {
                      const auto& [of, offset, transposed] = pieces[i];
                      const dim rows = shapes[of].second.rows(), cols = shapes[of].second.cols();
                      values.resize(static_cast<std::size_t>(rows * cols));
                      sources[of].read(values);
                      for (dim k = 0; k < static_cast<dim>(out.size()); ++k) {
                        const dim from = transposed ? k % rows * cols + k / rows : offset + k;
                        out[static_cast<std::size_t>(k)] = static_cast<double>(values[static_cast<std::size_t>(from)]);
                      }
                    });
  // The tokenizer's files as they are; what --tokenizer named, or transformers could not read, is written as vocab.json +
  // merges.txt.
  bool whole = false;
  if (!folder_.empty() && !tokenizer_->named)
    for (auto& entry : fs::directory_iterator(folder_)) {
      const auto name = entry.path().filename().string();
      const bool vocabulary = name == "tokenizer.json" || name == "vocab.json";
      const bool tokens = vocabulary || name == "merges.txt" || name == "tokenizer_config.json" ||
                          name == "special_tokens_map.json" || name.ends_with(".txt.gz");
      if ((!tokens && name != "templates.txt") || !entry.is_regular_file()) continue;
      write_file(in(name.c_str()), detail::file_text(entry.path().string()));
      whole = whole || vocabulary;
    }
  if (tokenizer_->named || (keys == layout::hf && !whole)) {
    texts.emplace_back("vocab.json", text().vocab_text());
    texts.emplace_back("merges.txt", text().merges_text());
  }
  for (auto& [name, body] : texts) write_file(in(name.c_str()), body);  // last: a folder without them is no model
}

}  // namespace clipx
