// Some verbs of cpu<T> on fixed numbers, and a digest of the bits that they give.
#pragma once
#include <clipx/cpu.hpp>
#include <cstring>
#include <vector>

namespace dispatch {
using clipx::dim;
using clipx::mat;

template <class T>
std::vector<T> numbers(dim n, std::uint32_t seed) {
  std::vector<T> v(static_cast<std::size_t>(n));
  for (auto& e : v) {
    seed = seed * 1664525u + 1013904223u;
    e = T(static_cast<float>(seed >> 8) / 16777216.0f - 0.5f);
  }
  return v;
}
/// FNV-1a of the bytes, after what came before.
template <class T>
void join(std::uint64_t& hash, const std::vector<T>& v) {
  std::vector<unsigned char> bytes(v.size() * sizeof(T));
  std::memcpy(bytes.data(), v.data(), bytes.size());
  for (const auto b : bytes) hash = (hash ^ b) * 1099511628211u;
}

/// Of a row-wise, a column-wise and an elementwise verb, of attention, a loss, AdamW and a product.
template <class T>
std::uint64_t digest(clipx::cpu<T>& d) {
  constexpr dim rows = 37, cols = 75, heads = 3;
  std::uint64_t hash = 14695981039346656037u;
  auto x = numbers<T>(rows * cols, 1), y = numbers<T>(rows * cols, 2), sums = numbers<T>(cols, 3);
  auto w = numbers<float>(cols, 4), b = numbers<float>(cols, 5), p = numbers<float>(rows * cols, 6);
  auto weight = numbers<T>(cols * cols, 7);
  const mat<T> mx(x.data(), rows, cols), my(y.data(), rows, cols);
  const mat<float> mw(w.data(), 1, cols), mb(b.data(), 1, cols), mp(p.data(), 1, rows * cols);
  d.layernorm(mx, mw, mb, 1e-5, my, {});
  join(hash, y);
  d.unary(clipx::activation::gelu, mx, my);
  join(hash, y);
  d.add(0.3f, mx, 0.7f, my);
  d.sum_rows(my, {sums.data(), 1, cols});
  join(hash, sums);
  const std::int32_t first[] = {0, 20, rows};
  const clipx::row_ranges sequences{.first = first, .host = first, .count = 2, .longest = 20};
  d.attention({.q = mx, .k = mx, .v = mx, .queries = sequences, .keys = sequences, .causal = true}, heads, my, {});
  join(hash, y);
  d.linear(mx, {weight.data(), cols, cols}, {}, {}, my);
  join(hash, y);
  auto m = numbers<float>(rows * cols, 8), v = p;
  for (auto& e : v) e = e * e;
  d.adamw({.lr = 0.1}, {}, {x.data(), 1, rows * cols}, mp, {m.data(), 1, rows * cols}, {v.data(), 1, rows * cols}, {});
  join(hash, p);
  std::vector<float> scale{2.0f}, cosines = numbers<float>(rows * rows, 9), loss{0.0f}, dscale{0.0f}, dbias{0.0f};
  const mat<float> tile(cosines.data(), rows, rows), one(scale.data(), 1, 1);
  d.sigmoid_xent_tile(
      {.cosines = tile, .log_scale = one, .bias = one, .shift = 0, .N = rows},
      {.loss = {loss.data(), 1, 1}, .dcosines = tile, .dlog_scale = {dscale.data(), 1, 1}, .dbias = {dbias.data(), 1, 1}});
  join(hash, cosines);
  join(hash, loss);
  return hash;
}

}  // namespace dispatch

std::uint64_t digest_of_another_unit();
const char* another_user_of_highway();
