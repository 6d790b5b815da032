// Learning rates by step.
#pragma once
#include <cmath>

#include "../core/mat.hpp"

namespace clipx {

/// Linear warm-up to `peak`, then half a cosine down to 0 at step `total` (docs/clip.md section 9.2). Steps count from 0.
struct cosine_schedule {
  double peak = 5e-4;                  // the largest learning rate
  dim warmup = 0, total = 1;           // steps of the warm-up, and of the whole run
  double operator()(dim step) const {  // the learning rate of a step
    if (step < warmup) return peak * static_cast<double>(step + 1) / static_cast<double>(warmup);
    const double done = static_cast<double>(step - warmup) / static_cast<double>(total > warmup ? total - warmup : 1);
    return 0.5 * peak * (1 + std::cos(3.14159265358979323846 * (done < 1 ? done : 1)));
  }
};

}  // namespace clipx
