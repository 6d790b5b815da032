// Sharded safetensors: an index and its shards, in memory. Parts of two bytes, which say how long it is, and that many bytes: the
// index, then a.safetensors, b.safetensors and c.safetensors. What is accepted has its tensors inside the shards.
#include <clipx/core/error.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  std::vector<named_bytes> files;
  std::span<const std::uint8_t> rest(data, size);
  std::size_t total = 0;
  for (auto* name : {"model.safetensors.index.json", "a.safetensors", "b.safetensors", "c.safetensors"}) {
    if (rest.size() < 2) break;
    const auto n = std::min<std::size_t>(static_cast<std::size_t>(rest[0] + 256 * rest[1]), rest.size() - 2);
    files.push_back({name, std::as_bytes(rest.subspan(2, n))});
    total += n;
    rest = rest.subspan(2 + n);
  }
  if (files.empty()) return 0;
  try {
    const auto open = safetensors::open(file_set::memory(std::move(files)), "model.safetensors.index.json");
    std::size_t bytes = 0;
    for (auto& t : open.tensors()) {
      if (open.find(t.name) != &t) std::abort();
      bytes += t.bytes;
      unsigned sum = 0;
      for (std::size_t i = 0; i < t.bytes; ++i) sum += static_cast<unsigned>(t.data[i]);
      if (sum > 255 * t.bytes) std::abort();
    }
    if (bytes > total || open.tensors().empty()) std::abort();
  } catch (const error&) {}
  return 0;
}
