// What is read by path: models and class files. The first byte: 0 an open_clip folder, 1 a Hugging Face one, 2 a bare safetensors
// file (config.json's text is then not looked at), 3 an index with the file as its one shard, 4 a class file. Then the config, or
// the index, a zero byte and the safetensors file; or the class file. What is accepted can be described and read whole.
#include <clipx/checkpoint/checkpoint.hpp>
#include <clipx/core/error.hpp>
#include <clipx/io/safetensors.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <cstdint>

#include "folder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const fuzz_folder dir;
  static const std::string configs[] = {dir / "open_clip_config.json", dir / "config.json"},
                           weights[] = {dir / "open_clip_model.safetensors", dir / "model.safetensors"},
                           index = dir / "model.safetensors.index.json", classes = dir / "classes";
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto cut = std::min(text.find('\0'), text.size());
  const auto first = text.substr(0, cut), second = text.substr(std::min(cut + 1, text.size()));
  const int mode = *data % 5;
  try {
    if (mode == 4) {
      put(classes, text);
      const std::string templates[] = {"a {}", "{} and {}"};
      const auto set = read_prompts(classes, templates);
      if (set.classes.empty() || set.classes.size() != set.prompts.size()) std::abort();
      return 0;
    }
    for (auto& path : configs) ::unlink(path.c_str());
    if (mode < 2) put(configs[mode], first);
    put(weights[mode == 0 ? 0 : 1], second);
    if (mode == 3) {
      put(index, first);
      safetensors::open(index);
      return 0;
    }
    checkpoint_options options;
    if (mode == 2) {
      options.activation = "gelu";
      options.head_width = 2;
    }
    const auto source = checkpoint::open(mode == 2 ? weights[1] : dir.path, options);
    source.summary();
    const auto wanted = parameter_shapes(source.config());
    const auto parts = source.match(source.config());
    std::vector<float> values;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      values.resize(static_cast<std::size_t>(wanted[i].second.count()));
      parts[i].read(values);
    }
  } catch (const error&) {}
  return 0;
}
