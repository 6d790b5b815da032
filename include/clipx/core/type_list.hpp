// type_list: a list of types that code can walk at compile time.
#pragma once
#include <type_traits>

namespace clipx {

template <class... T>
struct type_list {};

}  // namespace clipx
