// Class and template files. The first byte: 0 classes in fixed templates, 1 classes alone, 2 templates, 3 texts, 4 a template a
// line, a zero byte, and classes. What is accepted has a text for each class and template.
#include <clipx/core/error.hpp>
#include <clipx/zero_shot/prompts.hpp>
#include <cstdint>

#include "folder.hpp"

namespace {
void check(const clipx::prompt_set& set) {
  if (set.classes.empty() || set.classes.size() != set.prompts.size()) std::abort();
  for (auto& texts : set.prompts)
    if (texts.empty()) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const fuzz_folder dir;
  static const auto first = dir / "first", second = dir / "second";
  static const std::vector<std::string> fixed{"a {}", "{} and {c}"};
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  put(first, text);
  try {
    switch (*data % 5) {
      case 0:
        check(read_prompts(first, fixed));
        break;
      case 1:
        check(make_prompts(read_classes(first), fixed));
        break;
      case 2:
        for (auto& one : read_templates(first))
          if (fill_template(one, "").size() >= one.size()) std::abort();
        break;
      case 3: {
        std::size_t bytes = 0;
        for (auto& line : read_texts(first)) bytes += line.size();
        if (bytes > text.size()) std::abort();
        break;
      }
      default:
        const auto cut = std::min(text.find('\0'), text.size());
        put(first, text.substr(0, cut));
        put(second, text.substr(std::min(cut + 1, text.size())));
        const auto templates = read_templates(first);
        const auto set = read_prompts(second, templates);
        check(set);
    }
  } catch (const error&) {}
  return 0;
}
