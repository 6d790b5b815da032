// Definitions of list.hpp.
#pragma once
#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
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

/// A name without what is spelled in several ways: capitals and separators.
inline std::string bare_name(std::string_view name) {
  std::string out;
  for (const char ch : name)
    if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z')) out += ch;
    else if (ch >= 'A' && ch <= 'Z') out += static_cast<char>(ch - 'A' + 'a');
  return out;
}
/// How many letters have to be inserted, removed or replaced to turn a into b (Levenshtein's distance).
inline std::size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}
/// The name, of a list, that was probably meant; empty: none is near.
inline std::string near_name(std::string_view name, std::span<const std::string> names) {
  std::string_view found;
  const auto bare = bare_name(name);
  std::size_t least = std::min<std::size_t>(2, bare.size() / 4) + 1;
  for (auto& n : names)
    if (const auto distance = edits(bare, bare_name(n)); distance < least) {
      least = distance;
      found = n;
    }
  return std::string(found);
}
}  // namespace detail

CLIPX_INLINE const clip_config& presets::find(std::string_view name) {
  const auto spelled = detail::preset_spelling(name);
  std::string_view base = spelled;
  if (base.ends_with("-quickgelu")) base.remove_suffix(10);
  std::vector<std::string> names;
  for (auto& c : detail::quick_presets())
    if (c.name == spelled) return c;
  for (auto& c : all()) {
    if (c.name == base && (base == spelled || (c.act == activation::quick_gelu && c.vision.policy().family(c).quick_gelu)))
      return c;
    names.push_back(c.name);
  }
  const auto meant = detail::near_name(base, names);
  std::string list;
  for (auto& n : names) list += " " + n;
  fail(error_kind::not_found,
       cat("unknown model '", name, "'", meant.empty() ? std::string(".") : cat("; did you mean ", meant, "?"), " The presets are:",
           list, ". Others of open_clip's models are read from their configuration: the JSON file in its model_configs"));
}

}  // namespace clipx
