// Definitions of list.hpp.
#pragma once
#include <string>
#include <vector>

#include "list.hpp"

namespace clipx {

CLIPX_INLINE std::span<const architecture* const> known_architectures() {
  static const auto list = []<class... A>(type_list<A...>) {
    return std::vector<const architecture*>{&architecture::of<A>()...};
  }(architectures{});
  return list;
}

namespace detail {
/// Whether A is with_text<Image, ngram_table> for the image tower of c; if so, changes c to A.
template <class Image>
bool take_ngrams(std::type_identity<with_text<Image, ngram_table>>, clip_config& c) {
  if (!c.vision.is<typename Image::config>()) return false;
  c.vision = typename with_text<Image, ngram_table>::config{c.vision.as<typename Image::config>()};
  return true;
}
template <class A>
bool take_ngrams(std::type_identity<A>, clip_config&) {
  return false;
}
}  // namespace detail

CLIPX_INLINE clip_config with_ngrams(clip_config c, const ngrams::config& loss) {
  const bool taken = [&]<class... A>(type_list<A...>) {
    return (detail::take_ngrams(std::type_identity<A>(), c) || ...);
  }(architectures{});
  expect(taken, error_kind::unsupported, [&] {
    return cat("no architecture has the image tower of a ", c.vision.policy().name(), " and a dictionary of n-grams");
  });
  c.text = ngram_table::config_of(loss.size());
  c.loss = loss;
  return c;
}

CLIPX_INLINE std::span<const clip_config> presets::all() {
  static const auto list = [] {
    std::vector<clip_config> out;
    for (auto* a : known_architectures()) out.insert(out.end(), a->presets().begin(), a->presets().end());
    return out;
  }();
  return list;
}

namespace detail {
/// A model's name as open_clip spells it: openai's "ViT-L/14@336px" is its ViT-L-14-336.
inline std::string preset_spelling(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name.substr(i) == "px" && name.find('@') != std::string_view::npos) break;
    out += name[i] == '/' || name[i] == '@' ? '-' : name[i];
  }
  return out;
}

/// The presets whose activation is not QuickGELU with it, by open_clip's names for them.
inline std::span<const clip_config> quick_presets() {
  static const auto list = [] {
    std::vector<clip_config> out;
    for (auto& c : presets::all()) {
      if (c.act == activation::quick_gelu || !c.vision.policy().family(c).quick_gelu) continue;
      out.push_back(c);
      out.back().name += "-quickgelu";
      out.back().act = activation::quick_gelu;
    }
    return out;
  }();
  return list;
}
}  // namespace detail

CLIPX_INLINE const clip_config& presets::find(std::string_view name) {
  const auto spelled = detail::preset_spelling(name);
  std::string_view base = spelled;
  if (base.ends_with("-quickgelu")) base.remove_suffix(10);
  std::string names;
  for (auto& c : detail::quick_presets())
    if (c.name == spelled) return c;
  for (auto& c : all()) {
    if (c.name == base && (base == spelled || (c.act == activation::quick_gelu && c.vision.policy().family(c).quick_gelu)))
      return c;
    names += " " + c.name;
  }
  fail(error_kind::not_found,
       cat("unknown model '", name, "'; there are:", names,
           ". Others of open_clip's models are read from their configuration: the JSON file in its model_configs"));
}

}  // namespace clipx
