// .npy arrays.
#include <clipx/core/error.hpp>
#include <clipx/io/npy.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto array = clipx::parse_npy({reinterpret_cast<const std::byte*>(data), size}, "fuzz");
    clipx::dim count = 1;
    for (auto d : array.shape) count *= d;
    if (count != static_cast<clipx::dim>(array.values.size())) std::abort();
  } catch (const clipx::error&) {}
  return 0;
}
