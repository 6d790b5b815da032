// Sorts ids with CUB's radix sort: stable, in stream order, in the caller's memory.
// tests/emulation/clipx/cuda/sort.cuh replaces this file where there is no device.
#pragma once
#include <cub/device/device_radix_sort.cuh>

#include "runtime.cuh"

namespace clipx::gpu {

/// n ids below 2^bits.
struct sorting {
  dim n;
  int bits;
  /// Bytes of device memory that run() needs.
  std::size_t memory() const {
    std::size_t bytes = 0;
    call(nullptr, bytes, nullptr, nullptr, nullptr, nullptr, nullptr);
    return bytes;
  }
  /// sorted = the ids in order, order = the places that they come from, equal ids in their original order; places holds 0 .. n - 1.
  void run(void* memory, std::size_t bytes, const std::int32_t* ids, const std::int32_t* places, std::int32_t* sorted,
           std::int32_t* order, cudaStream_t stream) const {
    call(memory, bytes, ids, places, sorted, order, stream);
  }

 private:
  void call(void* memory, std::size_t& bytes, const std::int32_t* ids, const std::int32_t* places, std::int32_t* sorted,
            std::int32_t* order, cudaStream_t stream) const {
    check(cub::DeviceRadixSort::SortPairs(memory, bytes, ids, sorted, places, order, static_cast<int>(n), 0, bits, stream),
          "sorting ids");
  }
};

}  // namespace clipx::gpu
