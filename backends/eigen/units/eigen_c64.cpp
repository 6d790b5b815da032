// The reference backend, compiled once for complex numbers: the complex-step derivative of the tests.
#include <clipx/eigen-inl.hpp>

template class clipx::eigen<std::complex<double>>;
