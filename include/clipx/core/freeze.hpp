// Weights that will not change. A loader announces each of them by the backend's
//   freeze(mat<const E> weight, frozen_role role, release_callback release = {})
// so that the backend may keep a form of its own (packed, quantised) from the first use on. thaw(weight.data) takes it back: the
// weight may then be changed or freed. A verb that writes to a frozen weight is a bug of the caller's.
#pragma once
#include <cstddef>

#include "mat.hpp"

namespace clipx {

/// How the verbs use a frozen weight.
enum class frozen_role {
  linear,       // (out, in): an operand of matrix products
  convolution,  // (out, in k k), columns (channel, ky, kx): the filters of a convolution, or of patches as rows
  table,        // (rows, width): rows are looked up or added, never multiplied: token and positional embeddings
  vector,       // (1, n): biases, the parameters and statistics of norms, class embeddings, scalars
};

/// How a backend says that it no longer reads the original bytes of a frozen weight, so that whoever mapped a file can give their
/// pages back. A plain function and the owner that it is called with; the owner must live until thaw(). Any thread may call it.
struct release_callback {
  const void* owner = nullptr;                                                         // what the function gets first
  void (*function)(const void* owner, const void* data, std::size_t bytes) = nullptr;  // nullptr: nobody is to be told
  /// Tells the owner that these bytes are no longer read.
  void operator()(const void* data, std::size_t bytes) const {
    if (function) function(owner, data, bytes);
  }
};

namespace detail {
/// Bytes from the first element of a view to its last.
template <class E>
constexpr dim byte_extent(const mat<E>& m) {
  return m.size() == 0 ? 0 : ((m.rows - 1) * m.ld + m.cols) * static_cast<dim>(sizeof(E));
}
}  // namespace detail

}  // namespace clipx
