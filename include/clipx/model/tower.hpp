// What a tower is: the concepts that clip<Architecture, Backend> requires of its image tower and its text tower.
#pragma once
#include <concepts>
#include <span>

#include "../core/config.hpp"
#include "../core/params.hpp"
#include "../core/step.hpp"
#include "text.hpp"

namespace clipx {

/// Tower is constructed from a clip_config, lists its parameters in visit(v) under the checkpoint's names, and has a struct `saved`
/// for what its forward pass leaves to the backward pass. A gradient is a Tower, too.
// clang-format off
template <class Tower, class B>
concept tower = std::constructible_from<Tower, const clip_config&> && requires { typename Tower::saved; };

/// forward: normalized pixels (N n n, 3) -> features (N, D), not L2-normalized. training: BatchNorm uses the batch's statistics.
/// patches: the rows of the tokens to keep (patch dropout); empty: all. A tower without tokens refuses it.
/// backward: adds the gradients of the parameters to `grad`.
template <class Tower, class B>
concept image_tower = tower<Tower, B> &&
    requires(const Tower t, step<B>& s, mat<const scalar_t<B>> x, typename Tower::saved k, bool training,
             std::span<const std::int32_t> patches, Tower& grad) {
  { t.forward(s, x, k, training, patches) } -> std::same_as<mat<scalar_t<B>>>;
  t.backward(s, k, x, grad);
};

/// forward: packed texts -> features (N, D), not L2-normalized; an empty view if the architecture has no text tower.
template <class Tower, class B>
concept text_tower = tower<Tower, B> &&
    requires(const Tower t, step<B>& s, const packed_texts& texts, mat<const scalar_t<B>> x, typename Tower::saved k, Tower& grad) {
  { t.forward(s, texts, k) } -> std::same_as<mat<scalar_t<B>>>;
  t.backward(s, k, x, grad);
};

/// A text side that computes no features of a text: its parameters are embeddings (V, D) of everything that a text can contain; the
/// loss and the scores use the whole table.
template <class Tower>
concept has_table = requires(const Tower t) { t.table(); };
/// An image tower with a sequence of tokens, the class token first, to which patch dropout applies.
template <class Tower>
concept has_tokens = requires(const Tower t) { { t.tokens() } -> std::convertible_to<dim>; };
/// An image tower whose BatchNorm has running statistics, updated after a training forward pass (momentum 1: set to the batch's).
template <class Tower, class B>
concept has_statistics = requires(Tower t, step<B>& s, const typename Tower::saved& k) { t.update_statistics(s, k, 1.0); };
// clang-format on

}  // namespace clipx
