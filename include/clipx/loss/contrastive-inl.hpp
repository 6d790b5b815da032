// Definitions of contrastive.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "contrastive.hpp"

namespace clipx {

CLIPX_INLINE void contrastive::score(std::span<double> cosines, std::span<const double> parameters) {
  if (cosines.empty()) return;
  const double largest = *std::max_element(cosines.begin(), cosines.end()), scale = std::exp(parameters[0]);
  for (double& c : cosines) c = std::exp(scale * (c - largest));
  std::vector<double> descending(cosines.begin(), cosines.end());  // summed in descending order, so that the order of the labels
                                                                   // does not matter
  std::sort(descending.begin(), descending.end(), std::greater<double>());
  const double sum = std::accumulate(descending.begin(), descending.end(), 0.0);
  for (double& c : cosines) c /= sum;
}

CLIPX_INLINE void contrastive::add_pair_loss(cosine_at at, dim n, dim N, std::span<const double> parameters, double& mean) {
  const double s = std::exp(parameters[0]);
  for (dim i = 0; i < n; ++i) {
    double rows = 0, columns = 0;  // cosines are in [-1, 1], so a scale of 100 cannot overflow
    for (dim j = 0; j < n; ++j) {
      rows += std::exp(s * (at(i, j) - 1));
      columns += std::exp(s * (at(j, i) - 1));
    }
    mean += (std::log(rows) + std::log(columns) - 2 * s * (at(i, i) - 1)) / static_cast<double>(2 * N);
  }
}

}  // namespace clipx
