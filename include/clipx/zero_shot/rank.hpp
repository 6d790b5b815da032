// rank(): which of these labels fits an image, by a trained model.
#pragma once
#include "../checkpoint/pretrained.hpp"
#include "retrieval.hpp"

namespace clipx {

/// (label, probability), in descending order, for the image in row 0: as the model's loss scores, a softmax over the labels or an
/// independent sigmoid for each.
template <class Architecture, backend B>
std::vector<std::pair<dim, double>> rank(const pretrained<Architecture, B>& model, const embeddings<accum_t<B>>& img,
                                         const embeddings<accum_t<B>>& labels) {
  const auto c = cosines(model.model().device(), img, labels);
  return rank(std::span<const accum_t<B>>(c), model.score());
}

}  // namespace clipx
