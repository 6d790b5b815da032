// The reference backend, compiled once for complex numbers: the complex-step derivative of the tests.
#define CLIPX_EIGEN_SCALAR std::complex<double>
#include <clipx/eigen.hpp>
