// The reference backend, compiled once for float.
#define CLIPX_EIGEN_SCALAR float
#include <clipx/eigen.hpp>
