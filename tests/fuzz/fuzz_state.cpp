// The state of a training run. The first byte: 0 a file as it is, else changes to the file that a small trainer writes, three bytes
// each: where (16 bits) and what; of the mode 1 they change its header, else the whole; the checksum is put right where there is
// one. A state that is accepted is that of a run: steps that can be counted, numbers that are finite; and it can be written and
// read again.
#include <clipx/architectures/vit.hpp>
#include <clipx/eigen.hpp>
#include <clipx/io/checksum.hpp>
#include <clipx/train/state.hpp>
#include <cmath>
#include <cstdint>

#include "folder.hpp"

namespace {
using namespace clipx;
using trainer_type = trainer<vit, eigen<float>>;

checkpoint_config small() {
  checkpoint_config c;
  c.model.embed_dim = 4;
  c.model.vision = vit_config{.image_size = 4, .patch_size = 2, .width = 4, .heads = 1, .mlp_width = 4, .layers = 1};
  c.model.text = {4, 6, 4, 1, 1, 4, text_pool::argmax, 5};
  c.pixels.size = 4;
  c.text.context_length = 4;
  return c;
}
std::string bytes_of(const std::string& path) {
  const auto file = mapped_file::open(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}
/// Puts the checksum of a changed file right.
void seal(std::string& file) {
  constexpr std::string_view entry = "\"checksum\":\"";
  const auto at = file.find(entry) + entry.size();
  if (file.find(entry) == std::string::npos || file.size() - at < checksum::hex_digits) return;
  file.replace(at, checksum::hex_digits, checksum::hex_digits, '0');
  checksum sum;
  sum.add(std::as_bytes(std::span(file)));
  file.replace(at, checksum::hex_digits, sum.hex());
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz_folder dir;
  static const auto path = dir / "state.safetensors", again = dir / "again.safetensors";
  static eigen<float> device;
  static trainer_type t(device, small(), {});
  static const auto valid = [] {
    write_training_state(path, t, {{"settings", "{\"lr\":0.1}"}, {"position", "[1,2,3]"}});
    return bytes_of(path);
  }();
  if (size == 0) return 0;
  std::string file;
  if (*data == 0) {
    file.assign(reinterpret_cast<const char*>(data) + 1, size - 1);
  } else {
    file = valid;
    const std::size_t most =
        *data == 1 ? 8 + static_cast<unsigned char>(valid[0]) + 256 * static_cast<unsigned char>(valid[1]) : file.size();
    for (std::size_t at = 1; at + 2 < size; at += 3)
      file[static_cast<std::size_t>(data[at] + 256 * data[at + 1]) % most] = static_cast<char>(data[at + 2]);
    if (size % 3 == 2) file.resize(file.size() * data[size - 1] / 255);  // one byte is left: cut off
  }
  seal(file);
  put(path, file);
  try {
    const auto facts = read_training_state(path, t);
    if (t.count() < 0 || t.count() > std::int64_t{1} << 53) std::abort();
    t.optimizer().each_state([](const std::string& name, const shape&, mat<float> m) {
      for (dim i = 0; i < m.size(); ++i)
        if (std::isnan(m.data[i]) || (name.starts_with("weights.") && std::isinf(m.data[i]))) std::abort();
    });
    state_facts own;
    for (auto& fact : facts)
      if (fact.first != "steps" && fact.first != "checksum") own.push_back(fact);
    const dim count = t.count();
    write_training_state(again, t, own);
    read_training_state(again, t);
    if (t.count() != count) std::abort();
  } catch (const error&) {}
  return 0;
}
