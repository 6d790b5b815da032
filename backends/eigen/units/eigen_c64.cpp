// The reference backend, compiled once for complex numbers, which the tests use for complex-step derivatives.
#define CLIPX_EIGEN_SCALAR std::complex<double>
#include <clipx/eigen.hpp>
