// The embeddings of a vocabulary, of which a text takes a few rows.
#pragma once
#include <span>
#include <vector>

#include "../core/params.hpp"
#include "../core/row_source.hpp"
#include "../core/step.hpp"

namespace clipx {

/// The embeddings of all tokens.
template <backend_types B>
struct embedding_table {
  using T = scalar_t<B>;
  mat<T> weight;    // (vocabulary, W)
  row_source rows;  // instead of the weight, which then has no memory and is not trained

  dim vocabulary = 0, width = 0;  // rows and columns
  embedding_table() = default;
  /// A table of these sizes, without memory until bind().
  embedding_table(dim tokens, dim columns) : vocabulary(tokens), width(columns) {}
  void visit(auto& v) { v("weight", weight, {vocabulary, width}); }

  /// y (R, W) = weight[ids]. `host`: the same ids.
  void forward(step<B>& s, mat<const std::int32_t> ids, std::span<const std::int32_t> host, mat<T> y) const {
    if (!rows) return s.device.gather_rows(weight, ids, y);
    std::vector<float> values(host.size() * static_cast<std::size_t>(width));
    for (std::size_t i = 0; i < host.size(); ++i)
      rows.read(host[i], std::span(values).subspan(i * static_cast<std::size_t>(width), static_cast<std::size_t>(width)));
    s.device.upload(mat<const float>(values.data(), y.rows, width), y);
    s.device.sync();
  }
  /// Adds the gradient dy (R, W) of the rows to grad.
  void backward(step<B>& s, mat<const std::int32_t> ids, mat<const T> dy, embedding_table& grad) const {
    s.device.scatter_add_rows(dy, ids, grad.weight);
  }
};

}  // namespace clipx
