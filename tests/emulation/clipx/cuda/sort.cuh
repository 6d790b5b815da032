// Stands in for the backend's sort.cuh (CUB): the same interface, std::stable_sort.
#pragma once
#include <algorithm>
#include <clipx/cuda/runtime.cuh>

namespace clipx::gpu {

struct sorting {
  dim n;
  int bits;
  std::size_t memory() const { return 1; }
  void run(void*, std::size_t, const std::int32_t* ids, const std::int32_t* places, std::int32_t* sorted, std::int32_t* order,
           cudaStream_t) const {
    emulation::submit([=, n = n] {
      std::copy_n(places, n, order);
      std::stable_sort(order, order + n, [&](std::int32_t a, std::int32_t b) { return ids[a] < ids[b]; });
      for (dim i = 0; i < n; ++i) sorted[i] = ids[order[i]];
      return true;
    });
  }
};

}  // namespace clipx::gpu
