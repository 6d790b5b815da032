// architecture: all that is particular to a kind of model, as readers, writers and trainers of checkpoints ask it at run time.
//
// A new architecture is a struct with the static members that `vit` has (architectures/vit.hpp, the one to copy) and one entry in
// architectures/list.hpp, or none: load<mine>() and trainer<mine, ..> work without it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "../core/initial.hpp"
#include "../core/no_device.hpp"
#include "../core/params.hpp"
#include "../io/fields.hpp"
#include "../model/clip.hpp"

namespace clipx {

/// The layouts of checkpoint folders, whose names and configuration files differ.
enum class layout { open_clip, hf };

/// The tensors of a file that make up one parameter.
struct key_source {
  /// How a position table of another length is brought to the model's (open_clip's layout alone; transformers refuses).
  enum class resizing { none, image_grid, sequence };
  std::vector<std::string> parts;  // stacked by rows: in_proj is q, k and v in Hugging Face's layout
  bool transposed = false;         // stored (out, in) where we hold (in, out)
  resizing positions = resizing::none;
  std::string_view other_prefix = {};  // the parts may stand under this prefix instead
};

/// What settles a question that a configuration leaves open; empty or 0: the file is asked.
struct config_answers {
  std::string activation;  // "quick_gelu" or "gelu"
  dim head_width = 0;      // of the image tower
};

/// What one tower's configuration says of choices that both towers share.
struct shared_choices {
  activation act = activation::quick_gelu;
  double norm_eps = 1e-5;
};

/// Reads a tower's part of a configuration file.
struct tower_reader {
  layout keys;
  fields& tower;  // vision_cfg or vision_config, text_cfg or text_config
  const config_answers& answers;
  shared_choices shared = {};  // Hugging Face's layout: received from the tower
};

/// Shapes of a bare file, from which sizes are inferred (spec 7.3).
class shape_reader {
 public:
  virtual ~shape_reader() = default;
  virtual bool has(const std::string& name) const = 0;
  /// The shape of a tensor of so many sizes; ones, and an issue, where it is missing or has another rank.
  virtual std::vector<dim> sizes(const std::string& name, std::size_t rank) = 0;
  /// How many of prefix0suffix, prefix1suffix, ... there are.
  dim count(const std::string& prefix, const std::string& suffix) const;
  /// The side of a square grid with one more row than it has cells.
  static dim side(dim rows);
  /// Where problems go.
  virtual issue_list& issues() = 0;
  config_answers answers;
};

/// Facts of a model as `clipx inspect` shows them, in order.
struct model_fact {
  std::string name;
  std::variant<dim, std::string, std::vector<dim>> value;
};

/// AdamW's defaults for an architecture (paper, appendix F).
struct adam_defaults {
  double beta2, eps;
};

using named_shapes = std::vector<std::pair<std::string, shape>>;

/// One architecture at run time; the objects are constant and live as long as the program. Thread-safe.
class architecture {
 public:
  static constexpr std::string_view kind = "architecture";
  template <class A>
  static const architecture& of();  // the object for a policy

  virtual ~architecture() = default;
  virtual std::string_view name() const = 0;
  virtual dim image_size(const clip_config& c) const = 0;
  virtual adam_defaults optimizer() const = 0;
  virtual bool has_patches() const = 0;
  virtual bool has_text() const = 0;

  // Configuration files. `model` holds both towers' parts.
  virtual bool claims(layout keys, const fields& model, const fields& vision) const = 0;
  virtual void read_vision(tower_reader& r, clip_config& c) const = 0;
  virtual void read_text(tower_reader& r, text_config& c) const = 0;
  /// Errors: the layout has no place for such a model.
  virtual void write_vision(const clip_config& c, layout keys, field_writer& to) const = 0;
  virtual void write_text(const clip_config& c, layout keys, field_writer& to) const = 0;
  /// The name of a tensor that only this architecture's bare files have, and sizes from the shapes of such a file.
  virtual std::string_view telltale() const = 0;
  virtual void infer(shape_reader& r, clip_config& c) const = 0;
  /// Sizes that no model can have.
  virtual void check(const clip_config& c, issue_list& issues) const = 0;

  // Parameters, by our names (open_clip's).
  virtual named_shapes shapes(const clip_config& c) const = 0;
  virtual key_source source_of(std::string_view name, layout keys) const = 0;
  virtual initial_values initial(const std::string& name, const shape& s, const clip_config& c) const = 0;

  virtual std::vector<model_fact> facts(const clip_config& c) const = 0;
  virtual std::span<const clip_config> presets() const = 0;
  /// Floating-point operations of one image's, and of one text's, forward pass; of matrix products alone.
  virtual double image_flops(const clip_config& c) const = 0;
  virtual double text_flops(const clip_config& c, dim tokens) const = 0;
};

namespace detail {
template <class Arch>
class architecture_of final : public architecture {
  using config = typename Arch::config;
  using text = typename Arch::text;
  static constexpr std::string_view prefix = "visual.";
  static bool is_vision(std::string_view name) { return name.starts_with(prefix); }
  static const config& part(const clip_config& c) { return c.vision.as<config>(); }

 public:
  std::string_view name() const override { return config::name; }
  dim image_size(const clip_config& c) const override { return part(c).image_size; }
  adam_defaults optimizer() const override { return Arch::optimizer; }
  bool has_patches() const override { return has_tokens<typename Arch::template tower<no_device>>; }
  bool has_text() const override { return text::is_tower; }

  bool claims(layout keys, const fields& model, const fields& vision) const override { return Arch::claims(keys, model, vision); }
  void read_vision(tower_reader& r, clip_config& c) const override { c.vision = Arch::read(r); }
  void read_text(tower_reader& r, text_config& c) const override { text::read(r, c); }
  void write_vision(const clip_config& c, layout keys, field_writer& to) const override { Arch::write(part(c), c, keys, to); }
  void write_text(const clip_config& c, layout keys, field_writer& to) const override { text::write(c, keys, to); }
  std::string_view telltale() const override { return Arch::telltale; }
  void infer(shape_reader& r, clip_config& c) const override {
    text::infer(r, c);
    c.vision = Arch::infer(r);
  }
  void check(const clip_config& c, issue_list& issues) const override {
    Arch::check(part(c), issues);
    text::check(c, issues);
  }
  named_shapes shapes(const clip_config& c) const override {
    no_device none;
    clip<Arch, no_device> model(none, c, {});
    named_shapes out;
    walk(model, [&](const std::string& parameter, auto&, const shape& s, role) { out.emplace_back(parameter, s); });
    return out;
  }
  key_source source_of(std::string_view name, layout keys) const override {
    return is_vision(name) ? Arch::source_of(name.substr(prefix.size()), keys) : text::source_of(name, keys);
  }
  initial_values initial(const std::string& name, const shape& s, const clip_config& c) const override {
    return is_vision(name) ? Arch::initial(std::string_view(name).substr(prefix.size()), s, part(c)) : text::initial(name, s, c);
  }
  std::vector<model_fact> facts(const clip_config& c) const override { return Arch::facts(part(c)); }
  std::span<const clip_config> presets() const override { return Arch::presets(); }
  double image_flops(const clip_config& c) const override { return Arch::flops(part(c), c); }
  double text_flops(const clip_config& c, dim tokens) const override { return text::flops(c, tokens); }
};
}  // namespace detail

template <class A>
const architecture& architecture::of() {
  static const detail::architecture_of<A> object;
  return object;
}

/// Pixels a side of the images that a model takes. Errors: the configuration names no architecture.
inline dim image_size(const clip_config& c) { return c.vision.policy().image_size(c); }

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "architecture-inl.hpp"
#endif
