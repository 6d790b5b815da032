// What a tower is: the concepts that clip<Architecture, Backend> asks of its image and its text side.
#pragma once
#include <concepts>
#include <span>

#include "../core/config.hpp"
#include "../core/params.hpp"
#include "../core/step.hpp"
#include "text.hpp"

namespace clipx {

/// Tower is constructed from a clip_config, lists its parameters in visit(v) under the checkpoint's names, and has a struct `saved`
/// for what its forward pass leaves for the backward pass. A gradient is a Tower too.
// clang-format off
template <class Tower, class B>
concept tower = std::constructible_from<Tower, const clip_config&> && requires { typename Tower::saved; };

/// forward: normalized pixels (N n n, 3) -> features (N, D), not L2-normalized. training: BatchNorm takes the batch's statistics.
/// patches: rows of the tokens that go on (patch dropout), empty for all; a tower without tokens refuses it.
/// backward: adds the gradients of the parameters to `grad`.
template <class Tower, class B>
concept image_tower = tower<Tower, B> &&
    requires(const Tower t, step<B>& s, mat<const scalar_t<B>> x, typename Tower::saved k, bool training,
             std::span<const std::int32_t> patches, Tower& grad) {
  { t.forward(s, x, k, training, patches) } -> std::same_as<mat<scalar_t<B>>>;
  t.backward(s, k, x, grad);
};

/// forward: packed texts -> features (N, D), not L2-normalized; an empty view where the architecture has no text tower.
template <class Tower, class B>
concept text_tower = tower<Tower, B> &&
    requires(const Tower t, step<B>& s, const packed_texts& texts, mat<const scalar_t<B>> x, typename Tower::saved k, Tower& grad) {
  { t.forward(s, texts, k) } -> std::same_as<mat<scalar_t<B>>>;
  t.backward(s, k, x, grad);
};

/// A text side without features of a text: its parameters are the embeddings of all that a text can have, (V, D), which the loss and
/// the scores take whole.
template <class Tower>
concept has_table = requires(const Tower t) { t.table(); };
/// An image tower with a sequence of tokens, the class token first: patch dropout may leave some out.
template <class Tower>
concept has_tokens = requires(const Tower t) { { t.tokens() } -> std::convertible_to<dim>; };
/// An image tower whose BatchNorm keeps running statistics, which follow a training forward (momentum 1: become its statistics).
template <class Tower, class B>
concept has_statistics = requires(Tower t, step<B>& s, const typename Tower::saved& k) { t.update_statistics(s, k, 1.0); };
// clang-format on

}  // namespace clipx
