// The reference backend, compiled once for double.
#include <clipx/eigen-inl.hpp>

template class clipx::eigen<double>;
