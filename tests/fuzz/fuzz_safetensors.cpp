// safetensors: what is accepted can be read.
#include <clipx/core/error.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  try {
    const auto file = safetensors::open(file_set::memory({{"fuzz", std::as_bytes(std::span(data, size))}}), "fuzz");
    std::size_t total = 0;
    for (auto& t : file.tensors()) {
      if (file.find(t.name) != &t) std::abort();
      total += t.bytes;
      if (t.count() * bits_of(t.type) != 8 * static_cast<dim>(t.bytes)) std::abort();
      if (t.type != dtype::f64 && t.type != dtype::f32 && t.type != dtype::f16 && t.type != dtype::bf16) continue;
      std::vector<float> values(static_cast<std::size_t>(t.count()));
      to_float(t.type, t.data, values);
    }
    if (total > size) std::abort();
  } catch (const error&) {}
  return 0;
}
