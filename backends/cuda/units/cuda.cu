#define CLIPX_CUDA_INLINE
#include <clipx/cuda-inl.cuh>

namespace clipx {
template class cuda<float>;
template class cuda<bf16>;
}  // namespace clipx
