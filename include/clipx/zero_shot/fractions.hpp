// The mean of fractions such as recalls per class, as exact as a double can be.
#pragma once
#include <cmath>

#include "../core/mat.hpp"

namespace clipx {

/// A sum of fractions in two doubles (Dekker 1971), about 106 bits: what is rounded is the mean, once, and not each fraction and
/// each sum, so that three thirds are 1.
class fraction_sum {
 public:
  /// count / total, total > 0.
  void add(dim count, dim total) {
    const auto n = static_cast<double>(count), d = static_cast<double>(total);
    const double high = n / d;
    add_parts(high, std::fma(-high, d, n) / d);
    fractions_ += 1;
  }
  dim fractions() const { return fractions_; }  // number added
  /// 0 of none.
  double mean() const {
    if (fractions_ == 0) return 0;
    const auto d = static_cast<double>(fractions_);
    const double high = high_ / d;
    return high + (std::fma(-high, d, high_) + low_) / d;
  }

 private:
  void add_parts(double high, double low) {
    const double sum = high_ + high, part = sum - high_;
    low += (high_ - (sum - part)) + (high - part) + low_;
    high_ = sum + low;
    low_ = low - (high_ - sum);
  }
  double high_ = 0, low_ = 0;
  dim fractions_ = 0;
};

}  // namespace clipx
