// with_text<Image, Text>: an architecture with the image tower of one and the text side of another.
#pragma once
#include <array>

#include "architecture.hpp"

namespace clipx {

namespace detail {
/// "a+b", a constant of the program.
template <const std::string_view& A, const std::string_view& B>
struct joined_names {
  static constexpr auto characters = [] {
    std::array<char, A.size() + B.size() + 1> out{};
    std::size_t n = 0;
    for (char c : A) out[n++] = c;
    out[n++] = '+';
    for (char c : B) out[n++] = c;
    return out;
  }();
  static constexpr std::string_view value{characters.data(), characters.size()};
};
}  // namespace detail

/// No model of a kind was published.
struct no_presets {
  static std::span<const clip_config> presets() { return {}; }  // the published models
};

/// The members of Image (architectures/vit.hpp shows them), with Text where they concern texts, and the published models of
/// Presets. Text::adapt(), if there is one, changes what the image tower's files imply; Text::claims_alone(), if there is one, says
/// whether a file holds such a text tower without an image tower.
template <class Image, class Text, class Presets = no_presets>
struct with_text : Image {
  /// The sizes are those of the image tower.
  struct config : Image::config {
    using policy = with_text;
    static constexpr std::string_view name = detail::joined_names<Image::config::name, Text::label>::value;
    friend bool operator==(const config&, const config&) = default;
  };
  using text = Text;  // the text side

  /// The image tower on backend B.
  template <backend_types B>
  struct tower : Image::template tower<B> {
    using base = typename Image::template tower<B>;  // Image's own
    tower() = default;
    explicit tower(const clip_config& c) : base(image_part(c)) {}  // unbound; the sizes are the configuration's
  };

  ///@{
  /// As in vit.
  static bool claims(layout keys, const fields& model, const fields& vision) {
    if constexpr (requires { Text::claims_alone(keys, model); })
      if (Text::claims_alone(keys, model)) return true;
    return Text::claims(keys, model) && Image::claims(keys, model, vision);
  }
  static config read(tower_reader& r) { return {Image::read(r)}; }
  static constexpr std::string_view telltale = Text::telltale;
  ///@}
  static config infer(shape_reader&) { return {}; }  // the text side needs its configuration; its own infer() reports that
  static std::span<const clip_config> presets() { return Presets::presets(); }  // the published models
  /// As in siglip_vit.
  static model_family family(const clip_config& c) {
    model_family f;
    if constexpr (requires { Image::family(c); }) f = Image::family(c);
    else if constexpr (requires { Image::family(); }) f = Image::family();
    if constexpr (requires { Text::adapt(f); }) Text::adapt(f);
    return f;
  }

 private:
  /// The configuration in terms of the image tower's own architecture.
  static clip_config image_part(clip_config c) {
    c.vision = static_cast<const typename Image::config&>(c.vision.template as<config>());
    return c;
  }
};

}  // namespace clipx
