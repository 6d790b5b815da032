// The zero-shot classifier: one weight row per class, the average of its prompts' embeddings (paper section 3.1.4).
#pragma once
#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
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

namespace detail {
/// The texts of all classes in their order, so many at a time; equal ones of a window once.
class text_windows {
 public:
  static constexpr std::size_t at_once = 16384;  // texts, before equal ones are joined
  explicit text_windows(const prompt_set& prompts) : prompts_(prompts.prompts) {}
  /// Makes the next window; false at the end.
  bool next() {
    std::unordered_map<std::string_view, std::size_t> index;
    texts.clear();
    places.clear();
    for (; class_ < prompts_.size(); ++class_, text_ = 0)
      for (; text_ < prompts_[class_].size(); ++text_) {
        if (places.size() == at_once) return true;
        const auto& text = prompts_[class_][text_];
        const auto [at, fresh] = index.emplace(text, texts.size());
        if (fresh) texts.push_back(text);
        places.push_back(at->second);
      }
    return !places.empty();
  }
  std::vector<std::string> texts;   // distinct
  std::vector<std::size_t> places;  // of each text of the window, its index in `texts`

 private:
  const std::vector<std::vector<std::string>>& prompts_;
  std::size_t class_ = 0, text_ = 0;
};

/// The rows of a classifier one after another, keep(std::span<const A> row), from the embeddings of one window of texts at a time.
template <class Encode, class Keep>
void for_each_class_row(const prompt_set& prompts, Encode&& encode, Keep&& keep) {
  using A = typename std::decay_t<decltype(encode(std::span<const std::string>()).values)>::value_type;
  std::vector<A> mean;
  std::size_t c = 0, added = 0;  // the class of `mean`, and how many of its texts are in it
  const auto finish = [&] {
    A norm = 0;
    for (A v : mean) norm += v * v;
    norm = std::max(std::sqrt(norm), A(1e-12));
    for (A& v : mean) v /= norm;
    keep(std::span<const A>(mean));
    std::fill(mean.begin(), mean.end(), A(0));
    ++c;
    added = 0;
  };
  for (text_windows window(prompts); window.next();) {
    const auto rows = encode(std::span<const std::string>(window.texts));
    mean.resize(static_cast<std::size_t>(rows.cols));
    for (const auto place : window.places) {
      while (added == prompts.prompts[c].size()) finish();
      const auto* row = rows.row(static_cast<dim>(place));
      for (std::size_t d = 0; d < mean.size(); ++d) mean[d] += row[d] / static_cast<A>(prompts.prompts[c].size());
      ++added;
    }
  }
  while (c < prompts.prompts.size()) finish();
}
}  // namespace detail

/// L2-normalizes, averages over a class's prompts, and L2-normalizes again. `encode(texts)` returns L2-normalized embeddings. It is
/// called with 16,384 texts at a time, of which equal ones are encoded once. Memory: the result, and the embeddings of one call.
/// Errors: those of expect_prompts and of `encode`.
template <class Encode>
auto make_classifier(const prompt_set& prompts, Encode&& encode) {
  using rows_type = decltype(encode(std::span<const std::string>()));
  using A = typename std::decay_t<decltype(std::declval<rows_type>().values)>::value_type;
  expect_prompts(prompts);
  classifier<A> out{prompts.classes, {}};
  detail::for_each_class_row(prompts, encode, [&](std::span<const A> row) {
    out.weights.cols = static_cast<dim>(row.size());
    out.weights.values.insert(out.weights.values.end(), row.begin(), row.end());
  });
  return out;
}

}  // namespace clipx
