// The architectures that clipx knows. Readers of checkpoints try them in this order.
#pragma once
#include <span>
#include <string_view>

#include "../core/type_list.hpp"
#include "../loss/list.hpp"
#include "convnext.hpp"
#include "eva_vit.hpp"
#include "mci_vit.hpp"
#include "modified_resnet.hpp"
#include "ngram_table.hpp"
#include "plain_vit.hpp"
#include "siglip_vit.hpp"
#include "vit.hpp"
#include "vit_bert.hpp"
#include "vit_m2m.hpp"
#include "vitamin.hpp"
#include "with_text.hpp"

namespace clipx {

/// The policies; an architecture that is not among them is still loaded by name.
using architectures = type_list<with_text<modified_resnet, ngram_table>, with_text<vit, ngram_table>, m2m_siglip_vit, m2m_vit,
                                bert_vit, eva_vit, siglip_vit, convnext, vitamin, mci_vit, plain_vit, modified_resnet, vit>;

/// The same at run time.
std::span<const architecture* const> known_architectures();

/// Calls f(std::type_identity<Arch>()) with the architecture of the list that the configuration describes; f must return the same
/// type for all of them. Errors: it is not in the list.
template <class List = architectures, class F>
decltype(auto) visit_architecture(const clip_config& config, F&& f) {
  return visit_chosen(List{}, config.vision, std::forward<F>(f));
}

/// The same image tower with a dictionary of n-grams as the text side: Visual N-Grams. Errors: the list has no architecture with
/// that image tower and an n-gram table.
clip_config with_ngrams(clip_config c, const ngrams::config& loss);

namespace presets {
/// All presets, in the order of docs/clip.md section 1.
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
