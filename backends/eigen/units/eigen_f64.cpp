// The reference backend, compiled once for double.
#define CLIPX_EIGEN_SCALAR double
#include <clipx/eigen.hpp>
