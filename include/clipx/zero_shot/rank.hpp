// rank(): labels of an image in order of their probability, by a trained model.
#pragma once
#include "../checkpoint/pretrained.hpp"
#include "retrieval.hpp"

namespace clipx {

/// (label, probability) in descending order for the image in row 0, scored as by the model's loss: a softmax over the labels or an
/// independent sigmoid for each.
template <class Architecture, backend B>
std::vector<std::pair<dim, double>> rank(const pretrained<Architecture, B>& model, const embeddings<accum_t<B>>& img,
                                         const embeddings<accum_t<B>>& labels) {
  const auto c = cosines(model.device(), img, labels);
  return rank(std::span<const accum_t<B>>(c), model.score());
}

}  // namespace clipx
