// The image towers of EVA-CLIP (Sun et al. 2023) and of the Perception Encoder (Bolya et al. 2025), which timm calls Eva: the plain
// vision transformer with other blocks, and with rotated queries and keys.
#pragma once
#include <cmath>
#include <vector>

#include "eva_block.hpp"
#include "plain_vit.hpp"

namespace clipx {

struct eva_vit;  // architectures/eva_vit.hpp

/// Sizes and choices of the image tower: what is not of a plain vision transformer.
struct eva_vit_config : plain_vit_config {
  using policy = eva_vit;
  static constexpr std::string_view name = "EVA";
  eva_block_variant block = {};  // what the blocks have
  dim rotary_side = 0;           // queries and keys of patches are rotated by their places in a grid of this side; 0: they are not
  dim rotary_first = 0;          // the place of the first row and column
  bool rotary_column_first = false;  // whether a head's first pairs turn by the column, else by the row
  friend bool operator==(const eva_vit_config&, const eva_vit_config&) = default;
};

/// The angles by which queries and keys of heads of d columns are rotated, (L, d): cosine and sine for each pair. Axial, with
/// frequencies 10000^(-k / n), n = d / 4: half of the pairs turn by the row, half by the column; a class token is not rotated. The
/// angles are those of timm, which computes them in float.
inline std::vector<double> rotary_angles(const eva_vit_config& v) {
  const dim g = v.grid().height, d = v.width / v.heads, n = d / 4;
  std::vector<double> of_place(static_cast<std::size_t>(g * 2 * n)), out;  // (g, 2 n)
  for (dim p = 0; p < g; ++p)
    for (dim k = 0; k < n; ++k) {
      float place = static_cast<float>(p) + static_cast<float>(v.rotary_first);
      place = place / static_cast<float>(g) * static_cast<float>(v.rotary_side);
      const float exponent = static_cast<float>(k) / static_cast<float>(n);
      const float frequency = 1.0f / static_cast<float>(std::pow(10000.0, static_cast<double>(exponent)));
      const float angle = place * frequency;
      const auto at = static_cast<std::size_t>(2 * (p * n + k));
      of_place[at] = std::cos(static_cast<double>(angle));
      of_place[at + 1] = std::sin(static_cast<double>(angle));
    }
  const auto append = [&](dim p) {
    const auto from = of_place.begin() + p * 2 * n;
    out.insert(out.end(), from, from + 2 * n);
  };
  for (dim i = 0; i < (v.class_token ? d : 0); ++i) out.push_back(i % 2 == 0 ? 1 : 0);
  for (dim row = 0; row < g; ++row)
    for (dim column = 0; column < g; ++column) {
      append(v.rotary_column_first ? column : row);
      append(v.rotary_column_first ? row : column);
    }
  return out;
}

/// timm's Eva.
template <backend_types B>
struct eva_vision_tower : plain_vision_tower<B, eva_block<B>> {
  using T = scalar_t<B>;
  using plain = plain_vision_tower<B, eva_block<B>>;  // all but the rotations
  eva_vit_config choices;                             // config and what is not of a plain vision transformer

  eva_vision_tower() = default;
  /// Parameters of these sizes, without memory until bind(). Errors: those of plain_vision_tower.
  explicit eva_vision_tower(const clip_config& c) : eva_vision_tower(c.vision.as<eva_vit_config>(), c) {}
  /// The same for sizes that another architecture's configuration holds.
  eva_vision_tower(const eva_vit_config& v, const clip_config& c) : plain(v, c, v.block), choices(v) {}

  struct saved {
    typename plain::saved trunk;
    rotations<B> turn;  // in the step's memory
  };

  /// Normalized pixels (N H W, 3) -> features (N, D). Errors: chosen patches, which this tower does not drop.
  mat<T> forward(step<B>& s, mat<const T> pixels, saved& ctx, bool /*training*/ = false,
                 std::span<const std::int32_t> chosen = {}) const {
    const dim N = this->count(pixels, chosen);
    auto features = s.make(N, this->embed_dim);  // (N, D)
    scratch<B> here(s, s.kept == keep::nothing);
    if (choices.rotary_side) ctx.turn = rotation(s);
    this->run(s, pixels, features, ctx.trunk, ctx.turn);
    return features;
  }
  /// dfeatures (N, D). Adds the gradients of the parameters to grad.
  void backward(step<B>& s, const saved& ctx, mat<const T> dfeatures, eva_vision_tower& grad) const {
    this->run_backward(s, ctx.trunk, dfeatures, grad, {}, ctx.turn);
  }

 private:
  rotations<B> rotation(step<B>& s) const {
    const dim L = choices.tokens(), d = choices.width / choices.heads;
    const auto angles = rotary_angles(choices);
    auto table = s.make_accum(L, d);  // (L, d)
    s.device.upload(mat<const double>(angles.data(), L, d), table);
    const auto which = this->leaving();
    rotations<B> turn{{table}, {table}};
    if (which == pooled_row::first) turn.leaving.table = table.row_range(0, 1);
    if (which == pooled_row::but_first) turn.leaving.table = table.row_range(1, L - 1);
    return turn;
  }
};

}  // namespace clipx
