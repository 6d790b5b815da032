// The zero-shot classifier: one weight row per class, the average of its prompts' embeddings (paper section 3.1.4).
#pragma once
#include <map>
#include <string>
#include <vector>

#include "../checkpoint/embeddings.hpp"
#include "prompts.hpp"

namespace clipx {

/// Built once and used for any number of images.
template <class A>
struct classifier {
  std::vector<std::string> labels;  // C
  embeddings<A> weights;            // (C, D), L2-normalized
};

/// L2-normalizes, averages over a class's prompts, and L2-normalizes again. `encode(texts)` returns L2-normalized embeddings; equal
/// texts are encoded once.
template <class Encode>
auto make_classifier(const prompt_set& prompts, Encode&& encode) {
  std::map<std::string, std::size_t> place;
  std::vector<std::string> texts;
  for (auto& list : prompts.prompts)
    for (auto& text : list)
      if (place.emplace(text, texts.size()).second) texts.push_back(text);
  const auto rows = encode(std::span<const std::string>(texts));
  using A = typename std::decay_t<decltype(rows.values)>::value_type;
  classifier<A> out{prompts.classes, {{}, rows.cols}};
  const auto D = static_cast<std::size_t>(rows.cols);
  for (auto& list : prompts.prompts) {
    std::vector<A> mean(D);
    for (auto& text : list)
      for (std::size_t c = 0; c < D; ++c) mean[c] += rows.row(static_cast<dim>(place.at(text)))[c] / static_cast<A>(list.size());
    A norm = 0;
    for (A v : mean) norm += v * v;
    norm = std::max(std::sqrt(norm), A(1e-12));
    for (A v : mean) out.weights.values.push_back(v / norm);
  }
  return out;
}

}  // namespace clipx
