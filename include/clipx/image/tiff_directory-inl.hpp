// The tags of the first directory of a TIFF file, or of EXIF data, as they are written: libtiff mends some of them, and Pillow
// chooses its mode by what is there.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

namespace clipx::detail {

class tiff_directory {
 public:
  /// Tags that do not lie in `file` are left out.
  explicit tiff_directory(std::span<const std::byte> file) : file_(file) {
    if (file.size() < 8) return;
    const auto order = static_cast<char>(file[0]);
    if ((order != 'I' && order != 'M') || file[1] != file[0]) return;
    big_endian_ = order == 'M';
    const auto version = at(2, 2);
    if (version != 42 && version != 43) return;
    large_ = version == 43;
    if (large_ && file.size() < 16) return;
    const auto start = large_ ? at(8, 8) : at(4, 4);
    if (start > file.size() || file.size() - start < count_size()) return;
    entries_at_ = static_cast<std::size_t>(start) + count_size();
    entries_ = static_cast<std::size_t>(
        std::min<std::uint64_t>(at(static_cast<std::size_t>(start), count_size()), (file.size() - entries_at_) / entry_size()));
  }

  bool is_big_endian() const { return big_endian_; }
  /// Whether there is a directory that could be read.
  bool there() const { return entries_ > 0; }

  /// The values of a tag of whole numbers; none if there is no such tag, or its values are of another kind.
  std::vector<std::uint64_t> numbers(unsigned tag) const {
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < entries_; ++i) {
      const std::size_t entry = entries_at_ + i * entry_size();
      if (at(entry, 2) != tag) continue;
      const auto type = at(entry + 2, 2);
      const std::size_t size = type == 1 || type == 6                 ? 1
                               : type == 3 || type == 8               ? 2
                               : type == 4 || type == 9 || type == 13 ? 4
                               : type >= 16 && type <= 18             ? 8
                                                                      : 0;
      const auto count = at(entry + 4, large_ ? 8 : 4);
      const std::size_t room = large_ ? 8 : 4, value = entry + (large_ ? 12 : 8);
      if (size == 0 || count > file_.size() / size) return out;
      const auto bytes = static_cast<std::size_t>(count) * size;
      const auto from = bytes <= room ? value : at(value, room);
      if (from > file_.size() - bytes) return out;
      for (std::size_t k = 0; k < count; ++k) out.push_back(at(static_cast<std::size_t>(from) + k * size, size));
      return out;
    }
    return out;
  }
  /// The first value of a tag.
  std::uint64_t number(unsigned tag, std::uint64_t otherwise) const {
    const auto all = numbers(tag);
    return all.empty() ? otherwise : all[0];
  }

 private:
  std::size_t count_size() const { return large_ ? 8 : 2; }
  std::size_t entry_size() const { return large_ ? 20 : 12; }
  std::uint64_t at(std::size_t from, std::size_t n) const {
    std::uint64_t v = 0;
    for (std::size_t i = 0; i < n; ++i) v |= static_cast<std::uint64_t>(file_[from + i]) << 8 * (big_endian_ ? n - 1 - i : i);
    return v;
  }

  std::span<const std::byte> file_;
  bool big_endian_ = false, large_ = false;  // large: BigTIFF
  std::size_t entries_at_ = 0, entries_ = 0;
};

}  // namespace clipx::detail
