// How a parameter is initialized: what a policy returns for each of its tensors.
#pragma once

namespace clipx {

/// A normal distribution around `mean` with standard deviation `size`, or a uniform one on mean +- size; size 0:
/// the mean itself.
struct initial_values {
  double size = 0;       // standard deviation, or half the width of the interval
  bool uniform = false;  // which of the two distributions
  double mean = 0;       // of either

  static initial_values constant(double value) { return {.mean = value}; }  // always this value
  static initial_values normal(double std) { return {.size = std}; }        // a normal distribution around 0
  /// Uniform in [-bound, bound).
  static initial_values within(double bound) { return {.size = bound, .uniform = true}; }
};

}  // namespace clipx
