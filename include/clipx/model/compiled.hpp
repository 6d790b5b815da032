// The passes of towers, compiled once: with clipx::<backend>-compiled a unit that runs a model calls them instead of compiling
// them.
#pragma once
#include <concepts>
#include <cstdint>
#include <span>

#include "../core/step.hpp"
#include "text.hpp"

namespace clipx {

/// Whether a library holds the towers of this architecture for this backend: one of clipx's own list (in_library), on a backend
/// whose compiled target is linked (compiled_models, which is not inherited).
template <class Architecture, class B>
concept has_compiled_towers = requires {
  requires Architecture::in_library;
  requires std::same_as<typename B::compiled_models, B>;
};

namespace detail {

// A tower's forward and backward (model/tower.hpp). They are defined in architectures/compiled_towers.hpp, for the units of such a
// library.
template <class Tower, class B>
mat<scalar_t<B>> compiled_forward(const Tower& tower, step<B>& s, mat<const scalar_t<B>> pixels, typename Tower::saved& k,
                                  bool training, std::span<const std::int32_t> patches);
template <class Tower, class B>
mat<scalar_t<B>> compiled_forward(const Tower& tower, step<B>& s, const packed_texts& texts, typename Tower::saved& k);
template <class Tower, class B>
void compiled_backward(const Tower& tower, step<B>& s, const typename Tower::saved& k, mat<const scalar_t<B>> dy, Tower& grad);

}  // namespace detail
}  // namespace clipx
