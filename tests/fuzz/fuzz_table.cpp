// Tables of images and captions. The first byte is the separator.
#include <clipx/core/error.hpp>
#include <clipx/data/table-inl.hpp>
#include <cstdint>
#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const char separator = static_cast<char>(*data);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::vector<std::string> fields;
  std::size_t total = 0, at = 0;
  while (at < text.size()) {
    const std::size_t before = at;
    if (!clipx::detail::read_record(text, at, separator, fields)) return 0;
    if (at <= before || at > text.size() || fields.empty()) std::abort();
    for (auto& f : fields) total += f.size();
  }
  if (total > text.size()) std::abort();  // quotes only go away
  return 0;
}
