// Definitions of checkpoint.hpp.
#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <tuple>

#include "../io/lock.hpp"
#include "checkpoint.hpp"
#include "config-inl.hpp"
#include "folder-inl.hpp"
#include "names.hpp"
#include "positions.hpp"

namespace clipx {
namespace detail {

inline std::string text_of(const std::vector<dim>& sizes) {
  std::string out = "[";
  for (std::size_t i = 0; i < sizes.size(); ++i) out += cat(i ? ", " : "", sizes[i]);
  return out + "]";
}

/// A position table of another length can be resampled if the width agrees.
inline bool can_resize(key_source::resizing how, const std::vector<dim>& have, const std::vector<dim>& want, const extent& grid) {
  if (how == key_source::resizing::none || have.size() != want.size() || have.size() < 2) return false;
  const std::size_t rows = have.size() - 2;  // behind sizes of 1
  if (have[rows + 1] != want[rows + 1] || have[rows] < 2 || !std::equal(have.begin(), have.end() - 2, want.begin())) return false;
  const dim first = want[rows] - grid.area(), g = shape_reader::side(have[rows] - first + 1);
  return how == key_source::resizing::sequence || (g > 0 && g * g == have[rows] - first);
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

namespace detail {
template <dtype type>
void convert_row(const void* row, std::span<float> out) {
  to_float(type, static_cast<const std::byte*>(row), out);
}
}  // namespace detail

CLIPX_INLINE row_source weight_source::rows() const {
  if (sizes_.size() != 2) return {};
  for (auto& [type, convert] : {std::pair{dtype::f16, &detail::convert_row<dtype::f16>},
                                {dtype::bf16, &detail::convert_row<dtype::bf16>},
                                {dtype::f32, &detail::convert_row<dtype::f32>}})
    if (const auto* table = in_place(type)) return {table, sizes_[1] * size_of(type), convert};
  return {};
}

namespace detail {
/// The first of the values that is no finite number; null: all are. `infinity`: the bits of infinity, from which on a value without
/// its sign is infinite or NaN.
template <class Bits>
const Bits* first_not_finite(std::span<const Bits> values, Bits infinity) {
  constexpr std::size_t lanes = sizeof(std::uint64_t) / sizeof(Bits), block = 512 * lanes;
  constexpr auto magnitude = static_cast<Bits>(static_cast<Bits>(~Bits{0}) >> 1);
  constexpr std::uint64_t ones = ~std::uint64_t{0} / static_cast<Bits>(~Bits{0});  // 1 in each lane
  const std::uint64_t carry = ones * static_cast<std::uint64_t>(magnitude + 1u - infinity);
  const auto bad = [&](Bits v) { return (v & magnitude) >= infinity; };
  std::size_t from = 0;
  for (; from + block <= values.size(); from += block) {  // several values a word: adding `carry` sets the sign of a bad one
    std::uint64_t signs = 0;
    for (std::size_t i = 0; i < block; i += lanes) {
      std::uint64_t word = 0;
      std::memcpy(&word, values.data() + from + i, sizeof word);
      signs |= (word & ones * magnitude) + carry;
    }
    if (signs & ~(ones * magnitude)) break;
  }
  const auto rest = values.subspan(from);
  const auto at = std::find_if(rest.begin(), rest.end(), bad);
  return at == rest.end() ? nullptr : &*at;
}

[[noreturn]] inline void fail_not_finite(const tensor_file& file, const std::string& name, std::size_t at, float value) {
  fail(error_kind::damaged, cat(file.path(), ": tensor \"", name, "\": value ", at, " is ", value,
                                ": expected finite numbers; the file is damaged, or its training diverged"));
}

/// `first`: the place of the first of these values in the tensor.
inline void expect_finite(const tensor_file& file, const std::string& name, std::span<const float> values, std::size_t first = 0) {
  const std::span bits(reinterpret_cast<const std::uint32_t*>(values.data()), values.size());
  if (const auto* bad = first_not_finite<std::uint32_t>(bits, 0x7f800000)) {
    const auto at = static_cast<std::size_t>(bad - bits.data());
    fail_not_finite(file, name, first + at, values[at]);
  }
}
/// The same of F16 or BF16.
inline void expect_finite(const tensor_file& file, const tensor_info& t, std::span<const std::uint16_t> bits, std::size_t first) {
  if (const auto* bad = first_not_finite<std::uint16_t>(bits, t.type == dtype::bf16 ? 0x7f80 : 0x7c00)) {
    float value = 0;
    to_float(t.type, reinterpret_cast<const std::byte*>(bad), {&value, 1});
    fail_not_finite(file, t.name, first + static_cast<std::size_t>(bad - bits.data()), value);
  }
}
}  // namespace detail

CLIPX_INLINE void weight_source::expect_finite() const {
  constexpr std::size_t most = std::size_t{1} << 22;  // values whose pages are held at a time
  for (auto* part : parts_) {
    const auto n = static_cast<std::size_t>(part->count()), size = static_cast<std::size_t>(size_of(part->type));
    for (std::size_t from = 0; from < n; from += most) {
      const std::size_t count = std::min(most, n - from);
      const auto* data = part->data + from * size;
      if (part->type == dtype::f32) detail::expect_finite(*file_, part->name, {reinterpret_cast<const float*>(data), count}, from);
      else if (part->type == dtype::bf16 || part->type == dtype::f16)
        detail::expect_finite(*file_, *part, {reinterpret_cast<const std::uint16_t*>(data), count}, from);
      file_->release(data, count * size);
    }
  }
}

CLIPX_INLINE void weight_source::read(std::span<float> out) const {
  if (parts_.size() == 1 && parts_[0]->count() != static_cast<dim>(out.size())) {  // a position table of another size
    const dim width = sizes_[1], have = parts_[0]->count() / width, want = sizes_[0], first = want - grid_.area();
    std::vector<float> table(static_cast<std::size_t>(parts_[0]->count()));
    to_float(parts_[0]->type, parts_[0]->data, table);
    detail::expect_finite(*file_, parts_[0]->name, table);
    const auto resized = positions_ == key_source::resizing::image_grid
                             ? resize_image_positions(table, shape_reader::side(have - first + 1), grid_, width, first)
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
      detail::expect_finite(*file_, part->name, stored);
      for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t c = 0; c < cols; ++c) out[r * cols + c] = stored[c * rows + r];
    } else {
      to_float(part->type, part->data, out.subspan(at, n));
      detail::expect_finite(*file_, part->name, out.subspan(at, n));
    }
    file_->release(part->data, part->bytes);
    at += n;
  }
}

CLIPX_INLINE std::vector<weight_source> checkpoint::match(const clip_config& wanted) const {
  const auto &own = config().vision.policy(), &other = wanted.vision.policy();
  expect(&own == &other, error_kind::mismatch, [&] {
    return cat(file_->path(), ": expected weights of the architecture ", other.name(), ", got those of ", own.name());
  });
  std::vector<weight_source> out;
  issue_list issues(error_kind::mismatch);
  std::vector<const tensor_info*> used;
  for (auto& [name, want] : parameter_shapes(wanted)) {
    const auto source = source_of(config(), name, config_.keys);
    weight_source w;
    w.file_ = file_.get();
    w.transposed_ = source.transposed;
    w.positions_ = source.positions;
    w.sizes_ = want.sizes;
    if (source.positions == key_source::resizing::image_grid) {
      w.grid_ = other.grid(wanted);
      if (w.grid_ == extent()) w.grid_ = shape_reader::side(want.sizes[0]);
    }
    for (auto& [part, expected, unused_offset, unused_order] : stored_tensors(source, want)) {
      const auto* t = file_->find(cat(prefix_, part));
      if (const auto prefix = source.other_prefix; !t && !prefix.empty())
        t = file_->find(part.starts_with(prefix) ? cat(prefix_, part.substr(prefix.size())) : cat(prefix_, prefix, part));
      if (!t) {
        issues.add(cat("missing: ", prefix_, part, " ", want.text()));
        continue;
      }
      used.push_back(t);
      const bool scalar = want.sizes.empty() && t->count() == 1;
      const bool resized = detail::can_resize(source.positions, t->shape, expected, w.grid_);
      if (t->shape != expected && !scalar && !resized)
        issues.add(cat("shape: ", part, ": expected ", detail::text_of(expected), ", got ", detail::text_of(t->shape)));
      if (t->type != dtype::f32 && t->type != dtype::f16 && t->type != dtype::bf16 && t->type != dtype::f64)
        issues.add(cat("type: ", part, ": expected F32, F16, BF16 or F64, got ", name_of(t->type)));
      w.parts_.push_back(t);
    }
    out.push_back(std::move(w));
  }
  if (config_.keys == layout::open_clip)  // transformers reads a file that holds more
    for (auto* t : unused(used)) issues.add(cat("extra: ", t->name, " ", detail::text_of(t->shape)));
  issues.raise(cat(file_->path(), ": the tensors do not fit the configuration"), 24);
  return out;
}

/// The tensors that are neither used nor known to be of no use.
CLIPX_INLINE std::vector<const tensor_info*> checkpoint::unused(std::vector<const tensor_info*> used) const {
  std::vector<const tensor_info*> out;
  std::sort(used.begin(), used.end());
  for (auto& t : file_->tensors()) {
    const auto name = std::string_view(t.name).substr(t.name.starts_with(prefix_) ? prefix_.size() : 0);
    if (!std::binary_search(used.begin(), used.end(), &t) && !is_ignored_key(name)) out.push_back(&t);
  }
  return out;
}

/// The tokenizer, read on first use: users who need only images do not pay for it.
struct checkpoint::lazy_tokenizer {
  std::function<tokenizer()> make;
  std::string given;  // by an option; empty: it is looked for in the model's folder
  bool named() const { return !given.empty(); }
  std::once_flag once;
  std::optional<tokenizer> value;
};

CLIPX_INLINE const tokenizer& checkpoint::text() const {
  expect_towers(config(), tower_set::text);
  std::call_once(tokenizer_->once, [&] {
    auto t = tokenizer_->make();
    issue_list issues(error_kind::mismatch);
    const auto& c = config_.model.text;
    if ((c.pool == text_pool::none) != (t.ngrams() != nullptr))
      issues.add(t.ngrams() ? "the tokenizer is a dictionary of n-grams, the model has a text tower"
                            : "the model is Visual N-Grams, whose folder holds its dictionary, ngrams.tsv; the tokenizer is none");
    else if (t.ngrams() && t.vocab_size() != c.vocab_size)
      issues.add(cat("the dictionary has ", t.ngrams()->size(), " n-grams, the model ", c.vocab_size - 1));
    const bool smaller = tokenizer_->named() && !config_.text.allows_spare_rows() && t.vocab_size() < c.vocab_size;
    if (t.base_vocab_size() > c.vocab_size || (smaller && !t.ngrams()))
      issues.add(cat("the tokenizer has ", t.base_vocab_size(), " tokens, the text tower ", c.vocab_size,
                     "; give another one with checkpoint_options::tokenizer"));
    if (c.masks_padding() && t.pad() >= 0 && t.pad() != c.hf.pad_id)
      issues.add(cat("the text tower masks token ", c.hf.pad_id, " as padding, the tokenizer pads with ", t.pad()));
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
  file_shapes(const tensor_file& file, std::string prefix, issue_list& issues)
      : file_(file), prefix_(std::move(prefix)), issues_(issues) {}
  bool has(const std::string& name) const override { return file_.find(cat(prefix_, name)) != nullptr; }
  std::vector<dim> sizes(const std::string& name, std::size_t rank) override {
    const auto* t = file_.find(cat(prefix_, name));
    const auto sensible = [](dim d) { return d > 0 && d < (dim{1} << 24); };
    if (t && t->shape.size() == rank && std::all_of(t->shape.begin(), t->shape.end(), sensible)) return t->shape;
    issues_.add(t ? cat(name, ": has the shape ", text_of(t->shape)) : cat(name, " is missing"));
    return std::vector<dim>(rank, 1);
  }
  issue_list& issues() override { return issues_; }

 private:
  const tensor_file& file_;
  std::string prefix_;
  issue_list& issues_;
};

/// OpenAI's own archives (ViT-B-32.pt): TorchScript, with three sizes as buffers, which openai/CLIP's build_model drops.
inline bool is_of_openai(const tensor_file& file) {
  return file.format() == tensor_format::torchscript && file.find("input_resolution") && file.find("context_length") &&
         file.find("vocab_size");
}
}  // namespace detail

/// Sizes from the shapes of a bare file, as openai/CLIP does (docs/clip.md section 7.3).
/// The caller must supply what shapes cannot tell.
CLIPX_INLINE void checkpoint::infer(const checkpoint_options& o) {
  auto& c = config_.model;
  expect(detail::layout_of_names(*file_) != layout::hf, error_kind::unsupported,
         [&] { return cat(path_, ": these are Hugging Face's names; open the folder with config.json, not the file alone"); });
  prefix_ = detail::prefix_of_names(*file_, layout::open_clip);
  issue_list issues(error_kind::unsupported);
  detail::file_shapes shapes(*file_, prefix_, issues);
  shapes.answers = {o.activation, o.head_width};
  if (detail::is_of_openai(*file_)) {  // build_model knows no other activation and no other head width
    if (o.activation.empty()) shapes.answers.activation = "quick_gelu";
    if (o.head_width == 0) shapes.answers.head_width = 64;
  }
  const auto of_loss = [&](const loss_policy& p) { return shapes.has(std::string(p.telltale())); };
  const auto of_towers = [&](const architecture& a) { return a.tells(shapes); };
  if (const auto* loss = detail::find_policy<loss_policy>(o.policies.losses, known_losses(), of_loss)) c.loss = loss->defaults();
  else c.loss = contrastive::config{};  // its logit_scale will be reported as missing
  if (const auto* a = detail::find_policy<architecture>(o.policies.architectures, known_architectures(), of_towers)) {
    a->infer(shapes, c);
    if (issues.empty()) detail::set_family_pixels(config_.pixels, a->family(c));
  } else {
    std::string names;
    for (auto* known : known_architectures())
      names += cat(names.empty() ? "" : " or ", known->telltale(), " (", known->name(), ")");
    issues.add(cat("no image tower that clipx knows: expected a tensor named ", names, ", found none of them"));
  }
  if (shapes.answers.activation.empty())
    issues.add(
        error_kind::invalid_argument,
        "the activation cannot be inferred from shapes: give checkpoint_options::activation quick_gelu (OpenAI's weights), gelu "
        "(most of open_clip's) or gelu_tanh");
  else c.act = answered_activation(shapes.answers, issues);
  config_.keys = layout::open_clip;
  config_.text = tokenizer_options::open_clip();
  issues.raise(path_);
  detail::finish_config(config_, path_, issues);
}

CLIPX_INLINE checkpoint checkpoint::open(const std::string& path, const checkpoint_options& o) {
  namespace fs = std::filesystem;
  std::error_code none;
  expect(!path.empty(), "checkpoint::open: expected the path of a folder or a file of weights, got an empty one");
  const bool there = fs::exists(path, none);
  expect(there, system_error_kind(none.value()), [&] { return cat(path, ": ", none ? none.message() : "no such file or folder"); });
  checkpoint out;
  out.path_ = path;
  if (!fs::is_directory(path, none)) {
    if (path.ends_with(".json") && !path.ends_with(".index.json"))
      fail(error_kind::unsupported, cat(path, ": expected a model's folder or a file of weights, got a JSON file"));
    out.file_ = std::make_shared<const tensor_file>(tensor_file::open(path));
    out.infer(o);
    out.name_ = fs::path(path).stem().string();
  } else {
    out.files_ = std::make_shared<const file_set>(file_set::folder(path));
    out.name_ = detail::folder_name(path);
    out.take(detail::open_model(*out.files_, path, o));
  }
  out.finish(o);
  return out;
}

CLIPX_INLINE checkpoint checkpoint::open(std::vector<named_bytes> files, const checkpoint_options& o, const std::string& name) {
  checkpoint out;
  out.path_ = out.name_ = name;
  const bool alone = files.size() == 1 && files[0].name != detail::open_clip_name && files[0].name != detail::hf_name;
  const auto first = files.empty() ? std::string() : files[0].name;
  out.files_ = std::make_shared<const file_set>(file_set::memory(std::move(files)));
  if (alone) {
    out.file_ = std::make_shared<const tensor_file>(tensor_file::open(*out.files_, first));
    out.files_ = nullptr;
    out.infer(o);
  } else {
    out.take(detail::open_model(*out.files_, name, o));
  }
  out.finish(o);
  return out;
}

CLIPX_INLINE void checkpoint::take(detail::opened_model&& folder) {
  config_ = std::move(folder.config);
  file_ = std::move(folder.weights);
  warnings_ = std::move(folder.warnings);
  prefix_ = detail::prefix_of_names(*file_, config_.keys);
}

/// What the options settle, once the configuration and the weights are there.
CLIPX_INLINE void checkpoint::finish(const checkpoint_options& o) {
  expect(o.eos_id >= -1, [&] { return cat("checkpoint_options::eos_id: expected a token's id, or -1 for none, got ", o.eos_id); });
  config_.model.name = config().towers == tower_set::both ? detail::preset_name(config(), name_) : name_;
  if (o.eos_id >= 0) {
    const auto pool = config().text.pool;
    expect_towers(config(), tower_set::text);
    expect(pool == text_pool::argmax || pool == text_pool::eos, error_kind::mismatch, [&] {
      return cat(path_, ": checkpoint_options::eos_id: the model ",
                 pool == text_pool::none    ? "has no text tower"
                 : pool == text_pool::mean  ? "pools all positions of a text"
                 : pool == text_pool::first ? "pools the first position of a text, whatever its id"
                                            : "pools the last position of a text, whatever its id");
    });
    config_.model.text.pool = o.eos_id == 2 ? text_pool::argmax : text_pool::eos;
    config_.model.text.eos_id = o.eos_id;
  }
  config_.pixels.decode = o.decode;
  std::vector<const tensor_info*> used;
  for (auto& w : match(config())) used.insert(used.end(), w.parts_.begin(), w.parts_.end());
  if (const auto extra = unused(used); !extra.empty()) {
    std::string names;
    for (std::size_t i = 0; i < std::min<std::size_t>(extra.size(), 3); ++i) names += cat(i ? ", " : "", extra[i]->name);
    warnings_.push_back(
        cat(path_, ": ", extra.size(), " tensors are not of the model and are not used: ", names, extra.size() > 3 ? ", .." : ""));
  }
  tokenizer_ = std::make_shared<lazy_tokenizer>();
  tokenizer_->given = o.tokenizer;
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
  if (c.towers != tower_set::both) put("towers", c.towers == tower_set::image ? "image" : "text");
  if (c.towers != tower_set::text) {
    auto facts = c.vision.policy().facts(c);
    facts.insert(facts.begin(), fact_of("image_size", image_size(c)));
    for (auto& fact : facts) std::visit([&](const auto& value) { put(fact.name.c_str(), value); }, fact.value);
  }
  const bool over_ngrams = c.text.pool == text_pool::none, has_tower = !over_ngrams && c.towers != tower_set::image;
  if (has_tower) {
    put("text_layers", c.text.layers);
    put("text_width", c.text.width);
    put("text_heads", c.text.heads);
  }
  put("embed_dim", c.embed_dim);
  put("parameters", parameters);
  put("loss", loss_of(c).name());
  if (has_tower) {
    put("context_length", c.text.context_length);
    put("vocab_size", c.text.vocab_size);
  } else if (over_ngrams) {
    put("ngrams", c.text.vocab_size - 1);
    field_writer loss;
    loss_of(c).write(c, loss);
    for (auto& [key, value] : loss.get().object.items()) put(key.c_str(), value);
  }
  put("activation", name_of(c.act));
  if (has_tower && c.text_act() != c.act) put("text_activation", name_of(c.text_act()));
  if (has_tower)
    put("text_pool", c.text.pool == text_pool::argmax  ? std::string("largest id")
                     : c.text.pool == text_pool::last  ? std::string("last position")
                     : c.text.pool == text_pool::mean  ? std::string("mean")
                     : c.text.pool == text_pool::first ? std::string("first position")
                                                       : cat("first ", c.text.eos_id));
  put("layout", config_.keys == layout::open_clip ? "open_clip" : "hf");
  if (c.towers != tower_set::text)
    put("preprocessing", {{"resize", modes[static_cast<int>(config_.pixels.resize)]},
                          {"interpolation", config_.pixels.interpolation == filter::bicubic ? "bicubic" : "bilinear"},
                          {"mean", detail::short_numbers(config_.pixels.mean)},
                          {"std", detail::short_numbers(config_.pixels.std)}});
  put("dtype", type);
  return out + "}";
}

}  // namespace clipx
