// compiled_models: what a unit of clipx::<backend>-compiled instantiates beside compiled_towers, so that units of programs need
// not: how the towers of a list of architectures are bound to a checkpoint.
#pragma once
#include <array>

#include "../architectures/compiled_towers.hpp"
#include "pretrained.hpp"

namespace clipx {

namespace detail {
template <class Architecture, backend B>
bound<Architecture, B> compiled_bind_towers(B& device, const checkpoint& source) {
  return bind_towers<Architecture, B>(device, source);
}
}  // namespace detail

/// An explicit instantiation of it compiles all of them.
template <class List, backend B>
struct compiled_models;
/// The list taken apart.
template <class... Architecture, backend B>
struct compiled_models<type_list<Architecture...>, B> {
  /// How each is bound, as the towers' passes are listed.
  static std::array<void (*)(), sizeof...(Architecture)> bindings() {
    return {reinterpret_cast<void (*)()>(&detail::compiled_bind_towers<Architecture, B>)...};
  }
};

}  // namespace clipx
