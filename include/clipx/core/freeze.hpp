// Weights that will not change. A loader announces each of them by calling the backend's
//   freeze(mat<const E> weight, frozen_role role, release_callback release = {})
// so that the backend may keep its own form of it (packed, quantized) from the first use on. thaw(weight.data) takes it back:
// the weight may then be changed or freed. A verb that writes to a frozen weight is a bug in the caller.
#pragma once
#include <cstddef>

#include "mat.hpp"

namespace clipx {

/// How verbs use a frozen weight.
enum class frozen_role {
  linear,       // (out, in): an operand of matrix products
  convolution,  // (out, in k k), columns (channel, ky, kx): the filters of a convolution, or of patches as rows
  table,        // (rows, width): rows are looked up or added, never multiplied: token and positional embeddings
  vector,       // (1, n): biases, the parameters and statistics of norms, class embeddings, learned queries, scalars
};

/// Called by a backend when it no longer reads the original bytes of a frozen weight, so that the owner of a mapped file can
/// release their pages. It is a plain function and the owner that is passed to it; the owner must live until thaw(). Any thread
/// may call it.
struct release_callback {
  const void* owner = nullptr;                                                         // what the function gets first
  void (*function)(const void* owner, const void* data, std::size_t bytes) = nullptr;  // nullptr: nobody is to be told
  /// Tells the owner that these bytes are no longer read.
  void operator()(const void* data, std::size_t bytes) const {
    if (function) function(owner, data, bytes);
  }
};

namespace detail {
/// Bytes from the first element of a view through its last.
template <class E>
constexpr dim byte_extent(const mat<E>& m) {
  return m.size() == 0 ? 0 : ((m.rows - 1) * m.ld + m.cols) * static_cast<dim>(sizeof(E));
}
}  // namespace detail

}  // namespace clipx
