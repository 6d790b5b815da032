// Means of fractions: exact where the mean itself is, else its nearest double.
#include <clipx/zero_shot/accuracy.hpp>

#include "catch.hpp"

namespace test_fractions {

using namespace clipx;

TEST_CASE("a mean of fractions is rounded once") {
  CHECK(fraction_sum().mean() == 0);
  int inexact = 0;  // means that a sum of doubles misses
  for (dim n = 1; n <= 40; ++n)
    for (dim classes = 1; classes <= 50; ++classes) {
      fraction_sum sum;
      double plain = 0;
      for (dim c = 0; c < classes; ++c) {
        sum.add(c % n, n);
        plain += static_cast<double>(c % n) / static_cast<double>(n);
      }
      dim right = 0;
      for (dim c = 0; c < classes; ++c) right += c % n;
      const double want = static_cast<double>(right) / static_cast<double>(n * classes);
      CHECK(sum.mean() == want);
      inexact += plain / static_cast<double>(classes) != want;
    }
  CHECK(inexact > 100);
  fraction_sum mixed;  // 2/3 + 3/7 + 19/21 = 2
  mixed.add(2, 3);
  mixed.add(3, 7);
  mixed.add(19, 21);
  CHECK(mixed.mean() == 2.0 / 3.0);
}

TEST_CASE("a model that is always right has a mean recall of 1, whatever the sizes of its classes") {
  for (dim classes = 2; classes < 60; ++classes) {
    zero_shot_counter counter(classes);
    std::vector<double> scores;
    std::vector<dim> labels;
    for (dim c = 0; c < classes; ++c)
      for (dim i = 0; i <= c % 7; ++i) {
        labels.push_back(c);
        for (dim k = 0; k < classes; ++k) scores.push_back(k == c || (i == 1 && k == 0) ? 1 : 0);  // one image in some is wrong
      }
    counter.add(std::span<const double>(scores), labels);
    dim right = 0, by_class = 0;  // of 420 for each class
    const auto m = counter.metrics();
    for (dim c = 0; c < classes; ++c) {
      const dim n = c % 7 + 1, wrong = c > 0 && n > 1;
      right += n - wrong;
      by_class += 420 / n * (n - wrong);
    }
    CHECK(m.right_at_1 == right);
    CHECK(m.mean_per_class_recall == static_cast<double>(by_class) / static_cast<double>(420 * classes));
  }
}

}  // namespace test_fractions
