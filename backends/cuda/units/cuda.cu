// The CUDA backend: all definitions, compiled once.
#define CLIPX_CUDA_DEFINITIONS
#include <clipx/cuda.hpp>
