// The embeddings of a vocabulary, of which a text takes a few rows.
#pragma once
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

  /// y (R, W) = weight[ids]. `host`: the same ids.
  void forward(step<B>& s, mat<const std::int32_t> ids, std::span<const std::int32_t> host, mat<T> y) const {
    if (!rows) return s.device.gather_rows(weight, ids, y);
    const auto values = rows.read(host, y.cols);
    s.device.upload(mat<const float>(values.data(), y.rows, y.cols), y);
    s.device.sync();
  }
};

}  // namespace clipx
