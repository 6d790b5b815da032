// The architectures that clipx knows: readers of checkpoints try them in this order.
#pragma once
#include <span>
#include <string_view>

#include "../core/type_list.hpp"
#include "../loss/list.hpp"
#include "modified_resnet.hpp"
#include "ngram_table.hpp"
#include "vit.hpp"
#include "with_text.hpp"

namespace clipx {

using architectures = type_list<with_text<modified_resnet, ngram_table>, with_text<vit, ngram_table>, modified_resnet, vit>;

/// The same, at run time.
std::span<const architecture* const> known_architectures();

/// Calls f(std::type_identity<Arch>()) with the architecture in the list that the configuration describes; f's result must be of
/// one type. Errors: it is none of the list's.
template <class List = architectures, class F>
decltype(auto) visit_architecture(const clip_config& config, F&& f) {
  return visit_chosen(List{}, config.vision, std::forward<F>(f));
}

/// The same image tower, trained by the n-grams of a dictionary: Visual N-Grams. Errors: no architecture in the list has that image
/// tower and an n-gram table.
clip_config with_ngrams(clip_config c, const ngrams::config& loss);

namespace presets {
/// Every preset, in the order of the paper's table.
std::span<const clip_config> all();
/// By name: "ViT-B-32", openai's "ViT-B/32" and "ViT-L/14@336px", or open_clip's "ViT-B-32-quickgelu". The presets of OpenAI's
/// models have QuickGELU, as OpenAI's weights need it (in open_clip that is the one with -quickgelu). Errors: lists the names there
/// are.
const clip_config& find(std::string_view name);
}  // namespace presets

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "list-inl.hpp"
#endif
