// The configs of checkpoints. The first byte: 0 plain JSON, 1 open_clip's config, else Hugging Face's (with a preprocessor's after
// a zero byte). A config that is accepted can be written, and is accepted again.
#include <clipx/checkpoint/config.hpp>
#include <clipx/core/error.hpp>
#include <clipx/core/json-inl.hpp>
#include <clipx/io/safetensors.hpp>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  checkpoint_config config;
  try {
    if (*data == 0) {
      detail::parse_json(text, "fuzz", 4);
      return 0;
    }
    const auto cut = text.find('\0');
    const auto second = cut == text.npos ? std::string_view() : text.substr(cut + 1);
    config = *data == 1 ? read_open_clip_config(text, "fuzz") : read_hf_config(text.substr(0, cut), second, "fuzz");
  } catch (const error&) { return 0; }
  if (*data == 1) {
    read_open_clip_config(open_clip_config_text(config), "written");
  } else {
    read_hf_config(hf_config_text(config, "float32", 0, 1, 1), hf_preprocessor_text(config), "written");
  }
  return 0;
}
