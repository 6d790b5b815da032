// The reference backend, compiled once for float.
#include <clipx/eigen-inl.hpp>

template class clipx::eigen<float>;
