// Definitions of sigmoid.hpp.
#pragma once
#include <algorithm>
#include <cmath>

#include "sigmoid.hpp"

namespace clipx {

CLIPX_INLINE void sigmoid::score(std::span<double> cosines, std::span<const double> parameters) {
  const double scale = std::exp(parameters[0]);
  for (double& c : cosines) c = 1 / (1 + std::exp(-(scale * c + parameters[1])));
}

CLIPX_INLINE void sigmoid::add_pair_loss(cosine_at at, dim n, dim N, std::span<const double> parameters, double& mean) {
  const double s = std::exp(parameters[0]);
  for (dim i = 0; i < n; ++i)
    for (dim j = 0; j < n; ++j) {  // -log sigma(z S) = log(1 + exp(-z S)), whatever the sign
      const double x = (i == j ? -1 : 1) * (s * at(i, j) + parameters[1]);
      mean += (std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)))) / static_cast<double>(N);
    }
}

}  // namespace clipx
