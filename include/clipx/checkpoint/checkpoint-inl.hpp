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
#include <tuple>

#include "checkpoint.hpp"
#include "config-inl.hpp"
#include "positions.hpp"

namespace clipx {
namespace detail {

inline std::string text_of(const std::vector<dim>& sizes) {
  std::string out = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) out += cat(i ? ", " : "", sizes[i]);
  return out + "]";
}

/// A position table of another length can be resampled if the width agrees.
inline bool can_resize(key_source::resizing how, const std::vector<dim>& have, const std::vector<dim>& want) {
  if (how == key_source::resizing::none) return false;
  if (have.size() != 2 || want.size() != 2 || have[1] != want[1] || have[0] < 2) return false;
  const dim g = shape_reader::side(have[0]);
  return how == key_source::resizing::sequence || g * g == have[0] - 1;
}
}  // namespace detail

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
    const auto side = [](dim rows) { return shape_reader::side(rows); };
    const auto resized = positions_ == key_source::resizing::image_grid
                             ? resize_image_positions(table, side(have), side(want), width)
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
  issue_list issues(error_kind::mismatch);
  std::set<const tensor_info*> used;
  for (auto& [name, want] : wanted) {
    const auto source = source_of(config(), name, config_.keys);
    weight_source w;
    w.file_ = file_.get();
    w.transposed_ = source.transposed;
    w.positions_ = source.positions;
    w.sizes_ = want.sizes;
    for (auto& part : source.parts) {
      const auto* t = file_->find(part);
      if (!t && !source.other_prefix.empty()) t = file_->find(cat(source.other_prefix, part));
      if (!t) {
        issues.add(cat("missing: ", part, " ", want.text()));
        continue;
      }
      used.insert(t);
      auto expected = want.sizes;
      if (source.parts.size() > 1) expected[0] /= static_cast<dim>(source.parts.size());
      if (source.transposed) std::swap(expected[0], expected[1]);
      const bool scalar = want.sizes.empty() && t->count() == 1;
      const bool resized = detail::can_resize(source.positions, t->shape, expected);
      if (t->shape != expected && !scalar && !resized)
        issues.add(cat("shape: ", part, ": expected ", detail::text_of(expected), ", got ", detail::text_of(t->shape)));
      if (t->type != dtype::f32 && t->type != dtype::f16 && t->type != dtype::bf16 && t->type != dtype::f64)
        issues.add(cat("type: ", part, ": expected F32, F16, BF16 or F64, got ", name_of(t->type)));
      w.parts_.push_back(t);
    }
    out.push_back(std::move(w));
  }
  for (auto& t : file_->tensors())
    if (!used.contains(&t) && !is_ignored_key(t.name)) issues.add(cat("extra: ", t.name, " ", detail::text_of(t.shape)));
  issues.raise(cat(file_->path(), ": the tensors do not fit the configuration"), 24);
  return out;
}

/// The tokenizer, read on first use: users who need only images do not pay for it.
struct checkpoint::lazy_tokenizer {
  std::function<tokenizer()> make;
  bool named = false;  // given by an option rather than found in the model's folder
  std::once_flag once;
  std::optional<tokenizer> value;
};

CLIPX_INLINE const tokenizer& checkpoint::text() const {
  std::call_once(tokenizer_->once, [&] {
    auto t = tokenizer_->make();
    issue_list issues(error_kind::mismatch);
    const auto& c = config_.model.text;
    if ((c.pool == text_pool::none) != (t.ngrams() != nullptr))
      issues.add(t.ngrams() ? "the tokenizer is a dictionary of n-grams, the model has a text tower"
                            : "the model is Visual N-Grams, whose folder holds its dictionary, ngrams.tsv; the tokenizer is none");
    else if (t.ngrams() && t.vocab_size() != c.vocab_size)
      issues.add(cat("the dictionary has ", t.ngrams()->size(), " n-grams, the model ", c.vocab_size - 1));
    if (t.vocab_size() > c.vocab_size)
      issues.add(cat("the tokenizer has ", t.vocab_size(), " tokens, the text tower ", c.vocab_size,
                     "; give another one with checkpoint_options::tokenizer"));
    if (c.pool == text_pool::eos && c.eos_id != t.eot())
      issues.add(cat("the config pools token ", c.eos_id, ", the tokenizer ends texts with ", t.eot(),
                     ": every text would have the same embedding; set checkpoint_options::eos_id"));
    if (c.pool == text_pool::argmax && t.eot() != t.vocab_size() - 1)
      issues.add(cat("the config pools the largest id, and the tokenizer's end token ", t.eot(), " is not the largest of its ",
                     t.vocab_size(), "; set checkpoint_options::eos_id"));
    issues.raise(path_);
    tokenizer_->value = std::move(t);
  });
  return *tokenizer_->value;
}

namespace detail {
/// The shapes in a bare file, from which architectures infer sizes.
class file_shapes final : public shape_reader {
 public:
  file_shapes(const safetensors& file, issue_list& issues) : file_(file), issues_(issues) {}
  bool has(const std::string& name) const override { return file_.find(name) != nullptr; }
  std::vector<dim> sizes(const std::string& name, std::size_t rank) override {
    const auto* t = file_.find(name);
    const auto sensible = [](dim d) { return d > 0 && d < (dim{1} << 24); };
    if (t && t->shape.size() == rank && std::all_of(t->shape.begin(), t->shape.end(), sensible)) return t->shape;
    issues_.add(t ? cat(name, ": has the shape ", text_of(t->shape)) : cat(name, " is missing"));
    return std::vector<dim>(rank, 1);
  }
  issue_list& issues() override { return issues_; }

 private:
  const safetensors& file_;
  issue_list& issues_;
};
}  // namespace detail

/// Sizes from the shapes of a bare file, as openai/CLIP does (docs/clip.md section 7.3).
/// The caller must supply what shapes cannot tell.
CLIPX_INLINE void checkpoint::infer(const checkpoint_options& o) {
  auto& c = config_.model;
  const bool hf = file_->find("text_projection.weight") || file_->find("visual_projection.weight");
  expect(!hf, error_kind::unsupported,
         [&] { return cat(path_, ": these are Hugging Face's names; open the folder with config.json, not the file alone"); });
  issue_list issues(error_kind::unsupported);
  detail::file_shapes shapes(*file_, issues);
  shapes.answers = {o.activation, o.head_width};
  const auto there = [&](const auto& policy) { return shapes.has(std::string(policy.telltale())); };
  if (const auto* loss = detail::find_policy<loss_policy>(o.policies.losses, known_losses(), there)) c.loss = loss->defaults();
  else c.loss = contrastive::config{};  // its logit_scale will be reported as missing
  if (const auto* a = detail::find_policy<architecture>(o.policies.architectures, known_architectures(), there)) {
    a->infer(shapes, c);
  } else {
    std::string names;
    for (auto* known : known_architectures())
      names += cat(names.empty() ? "" : " or ", known->telltale(), " (", known->name(), ")");
    issues.add(cat("no image tower that clipx knows: expected a tensor named ", names, ", found none of them"));
  }
  if (o.activation.empty())
    issues.add(
        error_kind::invalid_argument,
        "the activation cannot be inferred from shapes: give checkpoint_options::activation quick_gelu (OpenAI's weights) or "
        "gelu (most of open_clip's)");
  else c.act = answered_activation(shapes.answers, issues);
  config_.keys = layout::open_clip;
  config_.text = tokenizer_options::open_clip();
  issues.raise(path_);
  detail::finish_config(config_, path_, issues);
}

namespace detail {
/// The first of the named files that exists.
inline std::shared_ptr<safetensors> open_weights(const file_set& files, const std::string& path,
                                                 std::initializer_list<const char*> names) {
  std::string list;
  for (auto* n : names) {
    if (files.has(n)) return std::make_shared<safetensors>(safetensors::open(files, n));
    list += cat(list.empty() ? "" : ", ", n);
  }
  const bool pickle = files.has("pytorch_model.bin") || files.has("open_clip_pytorch_model.bin") || files.has("open_clip_model.pt");
  fail(pickle ? error_kind::unsupported : error_kind::not_found,
       cat(path, ": no weights: expected one of ", list,
           pickle ? "; its PyTorch file can hold code and is not read: save it again as safetensors" : ""));
}

/// A folder's configuration and weights, in either layout.
inline std::pair<checkpoint_config, std::shared_ptr<safetensors>> open_model(const file_set& files, const std::string& path,
                                                                             const checkpoint_options& o) {
  const config_answers answers{o.activation, o.head_width};
  const char *open_clip = "open_clip_config.json", *hf = "config.json", *processor = "preprocessor_config.json";
  if (files.has(open_clip)) {
    auto config = read_open_clip_config(files.text(open_clip), files.path(open_clip), answers, o.policies);
    return {
        std::move(config),
        open_weights(files, path, {"open_clip_model.safetensors", "open_clip_model.safetensors.index.json", "model.safetensors"})};
  }
  if (files.has(hf)) {
    const auto pixels = files.has(processor) ? files.text(processor) : std::string();
    auto config = read_hf_config(files.text(hf), pixels, files.path(hf), answers, o.policies);
    return {std::move(config), open_weights(files, path, {"model.safetensors", "model.safetensors.index.json"})};
  }
  fail(error_kind::not_found, cat(path, ": expected open_clip_config.json or config.json in the folder, found neither"));
}

/// What a folder is called, however its path is written.
inline std::string folder_name(const std::string& path) {
  std::error_code none;
  auto whole = std::filesystem::absolute(path, none).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();
  return whole.filename().string();
}

/// The name of the preset that has these sizes, else `name`.
inline std::string preset_name(const clip_config& c, const std::string& name) {
  std::string out = name;
  for (auto& p : presets::all())
    if (p.vision == c.vision && p.embed_dim == c.embed_dim && p.text.width == c.text.width && p.text.layers == c.text.layers)
      out = p.name;
  return out;
}

/// The tokenizer that an option names, else the one among the model's files.
inline tokenizer open_tokenizer(const std::string& given, const file_set* files, const std::string& path,
                                const tokenizer_options& options) {
  if (!given.empty()) {
    std::error_code unreadable;
    if (std::filesystem::is_directory(given, unreadable)) return tokenizer::from_folder(given, options);
    return given.ends_with(".json") ? tokenizer::from_json(given, options) : tokenizer::from_merges(given, options);
  }
  expect(files != nullptr, error_kind::not_found, [&] {
    return cat(path, ": has no tokenizer; give a merges file, tokenizer.json or folder with checkpoint_options::tokenizer");
  });
  return tokenizer::from_files(*files, options);
}
}  // namespace detail

CLIPX_INLINE checkpoint checkpoint::open(const std::string& path, const checkpoint_options& o) {
  namespace fs = std::filesystem;
  std::error_code none;
  const bool there = fs::exists(path, none);
  expect(there, system_error_kind(none.value()), [&] { return cat(path, ": ", none ? none.message() : "no such file or folder"); });
  checkpoint out;
  out.path_ = path;
  if (!fs::is_directory(path, none)) {
    if (path.ends_with(".json") && !path.ends_with(".index.json"))
      fail(error_kind::unsupported, cat(path, ": expected a model's folder or a .safetensors file, got a JSON file"));
    out.file_ = std::make_shared<safetensors>(safetensors::open(path));
    out.infer(o);
    out.name_ = fs::path(path).stem().string();
  } else {
    out.files_ = std::make_shared<const file_set>(file_set::folder(path));
    out.name_ = detail::folder_name(path);
    std::tie(out.config_, out.file_) = detail::open_model(*out.files_, path, o);
  }
  out.finish(o);
  return out;
}

CLIPX_INLINE checkpoint checkpoint::open(std::vector<named_bytes> files, const checkpoint_options& o, const std::string& name) {
  checkpoint out;
  out.path_ = out.name_ = name;
  const bool alone = files.size() == 1;
  const auto first = files.empty() ? std::string() : files[0].name;
  out.files_ = std::make_shared<const file_set>(file_set::memory(std::move(files)));
  if (alone) {
    out.file_ = std::make_shared<safetensors>(safetensors::open(*out.files_, first));
    out.files_ = nullptr;
    out.infer(o);
  } else {
    std::tie(out.config_, out.file_) = detail::open_model(*out.files_, name, o);
  }
  out.finish(o);
  return out;
}

/// What the options settle, once the configuration and the weights are there.
CLIPX_INLINE void checkpoint::finish(const checkpoint_options& o) {
  if (o.eos_id >= 0) {
    expect(config().text.pool != text_pool::none, error_kind::mismatch,
           [&] { return cat(path_, ": checkpoint_options::eos_id: the model has no text tower"); });
    config_.model.text.pool = o.eos_id == 2 ? text_pool::argmax : text_pool::eos;
    config_.model.text.eos_id = o.eos_id;
  }
  config_.model.name = detail::preset_name(config(), name_);
  const auto wanted = parameter_shapes(config());
  match(wanted);
  tokenizer_ = std::make_shared<lazy_tokenizer>();
  tokenizer_->named = !o.tokenizer.empty();
  tokenizer_->make = [options = config_.text, given = o.tokenizer, files = files_, path = path_] {
    return detail::open_tokenizer(given, files.get(), path, options);
  };
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
  put("architecture", c.vision.policy().name());
  put("name", c.name);
  put("image_size", image_size(c));
  for (auto& fact : c.vision.policy().facts(c)) std::visit([&](const auto& value) { put(fact.name.c_str(), value); }, fact.value);
  const bool has_tower = c.text.pool != text_pool::none;
  if (has_tower) {
    put("text_layers", c.text.layers);
    put("text_width", c.text.width);
    put("text_heads", c.text.heads);
  }
  put("embed_dim", c.embed_dim);
  put("parameters", parameters);
  if (has_tower) {
    put("context_length", c.text.context_length);
    put("vocab_size", c.text.vocab_size);
  } else {
    put("ngrams", c.text.vocab_size - 1);
    field_writer loss;
    loss_of(c).write(c, loss);
    for (auto& [key, value] : loss.get().object.items()) put(key.c_str(), value);
  }
  put("activation", name_of(c.act));
  if (has_tower) put("text_pool", c.text.pool == text_pool::argmax ? std::string("largest id") : cat("first ", c.text.eos_id));
  put("layout", config_.keys == layout::open_clip ? "open_clip" : "hf");
  put("preprocessing", {{"resize", modes[static_cast<int>(config_.pixels.resize)]},
                        {"interpolation", config_.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear"},
                        {"mean", detail::short_numbers(config_.pixels.mean)},
                        {"std", detail::short_numbers(config_.pixels.std)}});
  put("dtype", type);
  return out + "}";
}

namespace detail {
/// How a tensor of a file is contained in one of our parameters: a part of it, or all of it.
struct parameter_part {
  std::size_t of;  // index of the parameter
  dim offset;      // of the part's first value
  bool transposed;
};

/// What a file in this layout contains, and where the values come from.
struct tensor_plan {
  std::vector<parameter_part> parts;
  std::vector<tensor_to_write> tensors;
};

inline tensor_plan plan_tensors(const clip_config& config, const std::vector<std::pair<std::string, shape>>& parameters,
                                layout keys, dtype element) {
  tensor_plan out;
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [name, s] = parameters[i];
    const auto place = source_of(config, name, keys);
    const dim parts = static_cast<dim>(place.parts.size()), n = s.count() / parts;
    for (dim p = 0; p < parts; ++p) {
      auto sizes = s.sizes;
      if (parts > 1) sizes[0] /= parts;
      if (place.transposed) std::swap(sizes[0], sizes[1]);
      const bool wide = s.sizes.empty();  // the log scale keeps its full precision
      out.tensors.push_back({place.parts[static_cast<std::size_t>(p)], wide ? dtype::f32 : element, sizes});
      out.parts.push_back({i, p * n, place.transposed});
    }
  }
  return out;
}

/// The values of one tensor, taken from those of its parameter.
inline void read_part(const parameter_part& part, const shape& s, std::span<const float> values, std::span<double> out) {
  const dim rows = s.rows(), cols = s.cols();
  for (dim k = 0; k < static_cast<dim>(out.size()); ++k) {
    const dim from = part.transposed ? k % rows * cols + k / rows : part.offset + k;
    out[static_cast<std::size_t>(k)] = static_cast<double>(values[static_cast<std::size_t>(from)]);
  }
}

/// Copies the tokenizer's files and the templates unchanged. Returns whether they include a complete vocabulary.
inline bool copy_texts(const file_set& from, const std::filesystem::path& to) {
  bool whole = false;
  for (auto& name : from.names()) {
    const bool vocabulary = name == "tokenizer.json" || name == "vocab.json" || name == "ngrams.tsv";
    const bool tokens = vocabulary || name == "merges.txt" || name == "tokenizer_config.json" ||
                        name == "special_tokens_map.json" || name.ends_with(".txt.gz");
    if (!tokens && name != "templates.txt") continue;
    write_file((to / name).string(), from.text(name));
    whole = whole || vocabulary;
  }
  return whole;
}
}  // namespace detail

CLIPX_INLINE void checkpoint::write(const std::string& folder, layout keys, const std::string& type, observer& watch) const {
  namespace fs = std::filesystem;
  const auto element = type == "f16" ? dtype::f16 : type == "bf16" ? dtype::bf16 : dtype::f32;
  expect(type == "f16" || type == "bf16" || type == "f32",
         [&] { return cat("checkpoint::write(type): expected f32, f16 or bf16, got ", type); });
  const auto in = [&](const char* name) { return (fs::path(folder) / name).string(); };
  // What a layout cannot represent is refused before anything is written.
  std::vector<std::pair<std::string, std::string>> texts;
  if (keys == layout::open_clip) {
    texts.emplace_back("open_clip_config.json", open_clip_config_text(config_));
  } else {
    const auto& t = text();
    texts.emplace_back("config.json", hf_config_text(config_, type, t.sot(), t.eot(), t.eot()));
    texts.emplace_back("preprocessor_config.json", hf_preprocessor_text(config_));
  }
  if (config().text.pool == text_pool::none) (void)text();  // errors: a missing dictionary
  std::error_code none;
  fs::create_directories(folder, none);
  expect(fs::is_directory(folder, none), error_kind::io,
         [&] { return cat(folder, ": cannot be made a folder: ", none ? none.message() : std::string("a file has this name")); });
  expect(!files_ || !files_->folder_path() || !fs::equivalent(folder, *files_->folder_path(), none),
         [&] { return cat(folder, ": is the folder being read; checkpoint::write(folder) names another folder"); });
  const auto shapes = parameter_shapes(config());
  const auto sources = match(shapes);
  const auto plan = detail::plan_tensors(config(), shapes, keys, element);
  std::vector<float> values;
  std::size_t done = 0;
  report(watch, "tensors", done, plan.tensors.size());
  write_safetensors(in(keys == layout::open_clip ? "open_clip_model.safetensors" : "model.safetensors"), plan.tensors,
                    [&](std::size_t i, std::span<double> out) {
                      const auto& part = plan.parts[i];
                      const auto& s = shapes[part.of].second;
                      values.resize(static_cast<std::size_t>(s.rows() * s.cols()));
                      sources[part.of].read(values);
                      detail::read_part(part, s, values, out);
                      report(watch, "tensors", ++done, plan.tensors.size());
                    });
  // A tokenizer given by --tokenizer, or one that transformers could not read, is written as tokenizer::files() has it.
  const bool whole = files_ && !tokenizer_->named && detail::copy_texts(*files_, folder);
  if (tokenizer_->named || (keys == layout::hf && !whole))
    for (auto& file : text().files()) texts.push_back(file);
  for (auto& [name, body] : texts) write_file(in(name.c_str()), body);  // last: a folder without them is not a model
}

}  // namespace clipx
