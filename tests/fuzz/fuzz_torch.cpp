// PyTorch's archives: what is accepted can be read. The first byte: 0 the archive, else a pickle, which is put into one with
// storages of 128 bytes and, where it is odd, a source of TorchScript's.
#include <clipx/core/error.hpp>
#include <clipx/io/tensor_file.hpp>
#include <cstdint>
#include <cstdlib>

#include "../unit/torch_archive.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  if (size == 0) return 0;
  const std::string given(reinterpret_cast<const char*>(data) + 1, size - 1);
  torch_archive::pairs members{{"x/data.pkl", given}};
  for (auto* key : {"0", "1", "2", "3", "4", "5", "6", "7"}) members.emplace_back(cat("x/data/", key), std::string(128, '\1'));
  if (*data % 2) members.emplace_back("x/code/__torch__.py", "class M(Module):\n  __parameters__ = [\"w\", ]\n");
  const auto bytes = *data == 0 ? given : torch_archive::zip(members);
  try {
    const auto file = tensor_file::open(file_set::memory({{"fuzz", std::as_bytes(std::span(bytes))}}), "fuzz");
    std::size_t total = 0;
    for (auto& t : file.tensors()) {
      if (file.find(t.name) != &t) std::abort();
      total += t.bytes;
      if (t.count() * size_of(t.type) != static_cast<dim>(t.bytes)) std::abort();
      if (t.type != dtype::f64 && t.type != dtype::f32 && t.type != dtype::f16 && t.type != dtype::bf16) continue;
      std::vector<float> values(static_cast<std::size_t>(t.count()));
      to_float(t.type, t.data, values);
    }
    if (file.format() != tensor_format::safetensors && total / 17 > bytes.size()) std::abort();
  } catch (const error&) {}
  return 0;
}
