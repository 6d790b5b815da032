// Image rows for a model whose text side is a table (has_table): [features, -log Z], whose product with [e_w, 1] is the
// log-probability of w under the softmax over the table (docs/clip.md section 12).
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../core/step.hpp"

namespace clipx::detail {

/// log Z of each row of features (N, D), computed in tiles of the dictionary, in host memory.
template <backend_types B>
std::vector<double> log_normalizers(step<B>& s, mat<const scalar_t<B>> features, mat<const scalar_t<B>> table) {
  using A = accum_t<B>;
  const dim N = features.rows, tile = std::min(table.rows, std::max<dim>(1024, (dim{1} << 24) / N));
  scratch<B> here(s);
  auto sums = s.make_accum(N, 2), logits = s.make_accum(N, tile);  // (N, 2), (N, tile)
  s.device.fill(sums.col_range(0, 1), A(-std::numeric_limits<double>::infinity()));
  s.device.fill(sums.col_range(1, 1), A(0));
  for (dim j = 0; j < table.rows; j += tile) {
    const mat<A> z(logits.data, N, std::min(tile, table.rows - j));
    s.device.gemm(op::none, op::transpose, A(1), features, table.row_range(j, z.cols), A(0), z);
    s.device.softmax_tile(mat<const A>(z), sums);
  }
  std::vector<double> host(static_cast<std::size_t>(2 * N)), out;
  s.device.download(mat<const A>(sums), mat<double>(host.data(), N, 2));
  s.device.sync();
  for (std::size_t i = 0; i < host.size(); i += 2) out.push_back(host[i] + std::log(host[i + 1]));
  return out;
}

/// Appends [features, -log Z], (N, D + 1), to `values` in host memory.
template <backend B>
void append_log_rows(step<B>& s, mat<const scalar_t<B>> features, mat<const scalar_t<B>> table, std::vector<accum_t<B>>& values) {
  using A = accum_t<B>;
  const auto log_z = log_normalizers(s, features, table);
  const dim D = features.cols;
  auto wide = s.make_accum(features.rows, D);
  s.device.copy(features, wide);
  const std::size_t at = values.size();
  values.resize(at + static_cast<std::size_t>(features.rows * (D + 1)));
  s.device.download(mat<const A>(wide), mat<A>(values.data() + at, features.rows, D, D + 1));
  s.device.sync();
  for (dim i = 0; i < features.rows; ++i)
    values[at + static_cast<std::size_t>(i * (D + 1) + D)] = static_cast<A>(-log_z[static_cast<std::size_t>(i)]);
}

}  // namespace clipx::detail
