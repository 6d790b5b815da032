// architecture: everything specific to a kind of model that readers, writers and trainers of checkpoints need at run time.
//
// A new architecture is a struct with the static members of `vit` (architectures/vit.hpp, the template to copy) and an entry in
// architectures/list.hpp; load<mine>() and trainer<mine, ..> work without the entry.
#pragma once
#include <array>
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

/// The layouts of checkpoint folders, which differ in tensor names and configuration files.
enum class layout { open_clip, hf };

/// The tensors of a file that make up one parameter.
struct key_source {
  /// How a position table of another length is resampled (open_clip's layout only; transformers refuses).
  enum class resizing { none, image_grid, sequence };
  std::vector<std::string> parts;       // stacked by rows: in_proj is q, k and v in Hugging Face's layout
  bool transposed = false;              // stored as (out, in); we hold (in, out)
  resizing positions = resizing::none;  // whether this is a position table, and of what
  std::string_view other_prefix = {};   // a prefix that files may have before the parts' names, or lack where the names begin so
  dim ones = 0;                         // sizes of 1 that stand before the others in the file's shape
  std::vector<dim> shares = {};         // of the parts in the rows, as 1 and 2 of three thirds; empty: equal shares
};

/// What an architecture's files imply beside the towers; the defaults are CLIP's.
struct model_family {
  std::string_view hf_model = "CLIPModel", hf_type = "clip";  // `architectures` and `model_type` in Hugging Face's config.json
  bool hf_projections = true;                                 // whether its towers alone are read, as CLIPVisionModelWithProjection
  std::string_view hf_text_type = "";  // `model_type` of files that hold a text tower alone, in a form of their own
  std::string_view hf_processor = "CLIPImageProcessor";  // `image_processor_type`, without an ending such as Fast
  std::string_view hf_loss = "contrastive";              // the loss of every model in Hugging Face's layout
  dim hf_scalar_ones = 0;                                // key_source::ones of the loss's parameters in Hugging Face's layout
  bool custom_text = false;  // whether open_clip builds a CustomTextCLIP, whose text tower is named "text."
  bool quick_gelu = true;    // whether open_clip has the presets with QuickGELU, as NAME-quickgelu
  bool squash =
      false;  // whether images are resized to the tower's size without cropping, unless their configuration says otherwise
  bool bilinear = false;  // whether images are resized bilinearly and not bicubically, likewise
  std::array<float, 3> mean{0.48145466f, 0.4578275f, 0.40821073f}, std{0.26862954f, 0.26130258f, 0.27577711f};  // likewise
};

/// Answers to what a configuration leaves open; empty or 0: as in the file.
struct config_answers {
  std::string activation;  // "quick_gelu", "gelu" or "gelu_tanh"
  dim head_width = 0;      // of the image tower
};

/// What one tower's configuration says about what CLIP's towers share. In open_clip's layout it is what stands beside the towers,
/// unless the tower's own configuration says otherwise.
struct shared_choices {
  activation act = activation::quick_gelu;  // of the MLPs
  double norm_eps = 1e-5;                   // of LayerNorm
  dim embed_dim = 0;                        // D, where the tower's configuration determines it; 0: it does not
};

/// Reads a tower's part of a configuration file.
struct tower_reader {
  layout keys;                    // of the file
  fields& tower;                  // vision_cfg or vision_config, text_cfg or text_config
  const config_answers& answers;  // take precedence over the file
  shared_choices shared = {};     // filled in by the tower
  std::string model_type = {};    // of the whole model, in Hugging Face's layout
};

/// Shapes of a bare file, from which sizes are inferred (docs/clip.md section 7.3).
class shape_reader {
 public:
  virtual ~shape_reader() = default;
  /// Whether the file has a tensor of this name.
  virtual bool has(const std::string& name) const = 0;
  /// The shape of a tensor of this rank; ones, and an issue, if it is missing or has another rank.
  virtual std::vector<dim> sizes(const std::string& name, std::size_t rank) = 0;
  /// Number of tensors named prefix0suffix, prefix1suffix, ...
  dim count(const std::string& prefix, const std::string& suffix) const;
  /// The side of a square grid, from the number of its cells plus one.
  static dim side(dim rows);
  /// Height and width of the image whose square grid of patches has `rows` - 1 cells. An issue, which names the table, if no square
  /// has.
  extent image_of(const std::string& table, dim rows, const extent& patch);
  /// Where problems go.
  virtual issue_list& issues() = 0;
  config_answers answers;  // what shapes do not show
};

/// A fact about a model, as `clipx inspect` prints it.
struct model_fact {
  std::string name;                                        // "patch size", for example
  std::variant<dim, std::string, std::vector<dim>> value;  // as it is printed
};

/// A height and a width as a fact: one number where they are equal, else both, the height first.
inline model_fact fact_of(std::string name, const extent& e) {
  if (e.square()) return {std::move(name), e.height};
  return {std::move(name), std::vector<dim>{e.height, e.width}};
}

/// AdamW's defaults for an architecture (paper appendix F).
struct adam_defaults {
  double beta2, eps;  // of optimizer_options
};

/// Names of tensors in a checkpoint and their shapes, in a fixed order.
using named_shapes = std::vector<std::pair<std::string, shape>>;

/// One architecture at run time. The objects are constant and live as long as the program. Thread-safe.
class architecture {
 public:
  static constexpr std::string_view kind = "architecture";  // in messages
  template <class A>
  static const architecture& of();  // the object for a policy

  virtual ~architecture() = default;
  /// In messages and in `clipx inspect`.
  virtual std::string_view name() const = 0;
  /// Height and width in pixels of the images that the tower takes.
  virtual extent image_size(const clip_config& c) const = 0;
  /// Rows and columns of the grid that the tower's position table is for; 0: it is square, or there is none.
  virtual extent grid(const clip_config& c) const = 0;
  /// What trainers use unless told otherwise.
  virtual adam_defaults optimizer() const = 0;
  /// Whether the image tower is made of tokens, so that patch dropout can be used.
  virtual bool has_patches() const = 0;
  /// Whether there is a text tower.
  virtual bool has_text() const = 0;
  /// What the files of such a model imply beside the towers.
  virtual model_family family(const clip_config& c) const = 0;

  // Configuration files. `model` holds both towers' parts.
  /// Whether a configuration file describes this architecture.
  virtual bool claims(layout keys, const fields& model, const fields& vision) const = 0;
  /// Reads the image tower's part into c.vision. Problems become issues.
  virtual void read_vision(tower_reader& r, clip_config& c) const = 0;
  /// Reads the text tower's part. Problems become issues.
  virtual void read_text(tower_reader& r, text_config& c) const = 0;
  /// Errors: the layout cannot represent such a model.
  virtual void write_vision(const clip_config& c, layout keys, field_writer& to) const = 0;
  /// The same for the text tower.
  virtual void write_text(const clip_config& c, layout keys, field_writer& to) const = 0;
  /// The name of a tensor that only this architecture's bare files have; sizes from the shapes of such a file.
  virtual std::string_view telltale() const = 0;
  /// Whether a bare file is of this architecture: by default, whether it has that tensor.
  virtual bool tells(const shape_reader& r) const = 0;
  /// Fills in the sizes of both towers. Problems become issues.
  virtual void infer(shape_reader& r, clip_config& c) const = 0;
  /// Reports sizes that no model can have.
  virtual void check(const clip_config& c, issue_list& issues) const = 0;

  // Parameters, by our names (open_clip's).
  /// Of all parameters of both towers, in the order of walk().
  virtual named_shapes shapes(const clip_config& c) const = 0;
  /// Where a layout holds a parameter.
  virtual key_source source_of(std::string_view name, layout keys) const = 0;
  /// How a parameter is initialized.
  virtual initial_values initial(const std::string& name, const shape& s, const clip_config& c) const = 0;

  /// What there is to say about the image tower.
  virtual std::vector<model_fact> facts(const clip_config& c) const = 0;
  /// The published models with this architecture.
  virtual std::span<const clip_config> presets() const = 0;
  /// Floating-point operations of the forward pass of one image and of one text, counting matrix products only.
  virtual double image_flops(const clip_config& c) const = 0;
  /// The same of a text of this many tokens.
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
  extent image_size(const clip_config& c) const override { return part(c).image_size; }
  extent grid(const clip_config& c) const override {
    if constexpr (requires { part(c).grid(); }) return part(c).grid();
    else return {};
  }
  adam_defaults optimizer() const override { return Arch::optimizer; }
  bool has_patches() const override { return has_tokens<typename Arch::template tower<no_device>>; }
  bool has_text() const override { return text::is_tower; }
  model_family family(const clip_config& c) const override {
    if constexpr (requires { Arch::family(c); }) return Arch::family(c);
    else if constexpr (requires { Arch::family(); }) return Arch::family();
    else return {};
  }

  bool claims(layout keys, const fields& model, const fields& vision) const override { return Arch::claims(keys, model, vision); }
  void read_vision(tower_reader& r, clip_config& c) const override { c.vision = Arch::read(r); }
  void read_text(tower_reader& r, text_config& c) const override { text::read(r, c); }
  void write_vision(const clip_config& c, layout keys, field_writer& to) const override { Arch::write(part(c), c, keys, to); }
  void write_text(const clip_config& c, layout keys, field_writer& to) const override { text::write(c, keys, to); }
  std::string_view telltale() const override { return Arch::telltale; }
  bool tells(const shape_reader& r) const override {
    if constexpr (requires { Arch::tells(r); }) return Arch::tells(r);
    else return r.has(std::string(Arch::telltale));
  }
  void infer(shape_reader& r, clip_config& c) const override {
    text::infer(r, c);
    if constexpr (requires { Arch::infer(r, c); }) c.vision = Arch::infer(r, c);
    else c.vision = Arch::infer(r);
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

/// Height and width in pixels of the images that a model takes. Errors: the configuration names no architecture.
inline extent image_size(const clip_config& c) { return c.vision.policy().image_size(c); }

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "architecture-inl.hpp"
#endif
