// compiled_towers: what a unit of clipx::<backend>-compiled instantiates, so that units of programs need not (model/compiled.hpp).
#pragma once
#include <array>

#include "../model/clip.hpp"
#include "list.hpp"

namespace clipx {

namespace detail {

template <class Tower, class B>
mat<scalar_t<B>> compiled_forward(const Tower& tower, step<B>& s, mat<const scalar_t<B>> pixels, typename Tower::saved& k,
                                  bool training, std::span<const std::int32_t> patches) {
  return tower.forward(s, pixels, k, training, patches);
}
template <class Tower, class B>
mat<scalar_t<B>> compiled_forward(const Tower& tower, step<B>& s, const packed_texts& texts, typename Tower::saved& k) {
  return tower.forward(s, texts, k);
}
template <class Tower, class B>
void compiled_backward(const Tower& tower, step<B>& s, const typename Tower::saved& k, mat<const scalar_t<B>> dy, Tower& grad) {
  tower.backward(s, k, dy, grad);
}

}  // namespace detail

/// Refers to the passes of every tower of a list of architectures: an explicit instantiation of it compiles them all.
template <class List, backend B>
struct compiled_towers;
/// The list taken apart.
template <class... Architecture, backend B>
struct compiled_towers<type_list<Architecture...>, B> {
  using any_function = void (*)();  // a pass, whatever its type; not to be called
  /// The passes of all towers.
  static std::array<any_function, 4 * sizeof...(Architecture)> functions() {
    std::array<any_function, 4 * sizeof...(Architecture)> out;
    std::size_t n = 0;
    (add<Architecture>(out, n), ...);
    return out;
  }

 private:
  template <class A>
  static void add(std::array<any_function, 4 * sizeof...(Architecture)>& out, std::size_t& n) {
    static_assert(has_compiled_towers<A, B>, "an architecture of the list lacks in_library, or the backend compiled_models");
    using T = scalar_t<B>;
    using image = typename clip<A, B>::visual_type;
    using text = typename clip<A, B>::text_type;
    mat<T> (*image_forward)(const image&, step<B>&, mat<const T>, typename image::saved&, bool, std::span<const std::int32_t>) =
        detail::compiled_forward<image, B>;
    mat<T> (*text_forward)(const text&, step<B>&, const packed_texts&, typename text::saved&) = detail::compiled_forward<text, B>;
    out[n++] = reinterpret_cast<any_function>(image_forward);
    out[n++] = reinterpret_cast<any_function>(text_forward);
    out[n++] = reinterpret_cast<any_function>(&detail::compiled_backward<image, B>);
    out[n++] = reinterpret_cast<any_function>(&detail::compiled_backward<text, B>);
  }
};

}  // namespace clipx
