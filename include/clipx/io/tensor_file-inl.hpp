// Definitions of tensor_file.hpp.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "../core/bf16.hpp"
#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "lfs.hpp"
#include "tensor_file.hpp"
#include "torch_file-inl.hpp"

namespace clipx {

namespace detail {
struct dtype_row {
  const char* name;
  dtype type;
  dim bits;
};
/// All types of the format (safetensors 0.8).
inline constexpr std::array<dtype_row, 22> dtype_table{{{"F64", dtype::f64, 64},
                                                        {"F32", dtype::f32, 32},
                                                        {"F16", dtype::f16, 16},
                                                        {"BF16", dtype::bf16, 16},
                                                        {"I64", dtype::i64, 64},
                                                        {"I32", dtype::i32, 32},
                                                        {"I16", dtype::i16, 16},
                                                        {"I8", dtype::i8, 8},
                                                        {"U64", dtype::u64, 64},
                                                        {"U32", dtype::u32, 32},
                                                        {"U16", dtype::u16, 16},
                                                        {"U8", dtype::u8, 8},
                                                        {"BOOL", dtype::boolean, 8},
                                                        {"C64", dtype::c64, 64},
                                                        {"F8_E4M3", dtype::f8_e4m3, 8},
                                                        {"F8_E5M2", dtype::f8_e5m2, 8},
                                                        {"F8_E8M0", dtype::f8_e8m0, 8},
                                                        {"F8_E4M3FNUZ", dtype::f8_e4m3fnuz, 8},
                                                        {"F8_E5M2FNUZ", dtype::f8_e5m2fnuz, 8},
                                                        {"F6_E2M3", dtype::f6_e2m3, 6},
                                                        {"F6_E3M2", dtype::f6_e3m2, 6},
                                                        {"F4", dtype::f4, 4}}};
}  // namespace detail

CLIPX_INLINE dim bits_of(dtype type) {
  for (auto& row : detail::dtype_table)
    if (row.type == type) return row.bits;
  return 0;
}
CLIPX_INLINE dim size_of(dtype type) { return bits_of(type) / 8; }
CLIPX_INLINE std::string_view name_of(dtype type) {
  for (auto& row : detail::dtype_table)
    if (row.type == type) return row.name;
  return "other";
}

CLIPX_INLINE const tensor_info* tensor_file::find(std::string_view name) const {
  const auto at =
      std::lower_bound(tensors_.begin(), tensors_.end(), name, [](const tensor_info& t, std::string_view n) { return t.name < n; });
  return at != tensors_.end() && at->name == name ? &*at : nullptr;
}

CLIPX_INLINE void tensor_file::release(const void* begin, std::size_t bytes) const {
  const auto* p = static_cast<const std::byte*>(begin);
  for (auto& f : files_)
    if (!f.file.bytes().empty() && p >= f.bytes.data() && p < f.bytes.data() + f.bytes.size()) f.file.release(begin, bytes);
}

CLIPX_INLINE std::vector<std::string> tensor_file::paths() const {
  std::vector<std::string> out;
  for (auto& f : files_)
    if (!f.file.path().empty()) out.push_back(f.file.path());
  return out;
}

CLIPX_INLINE void tensor_file::sort() {
  std::sort(tensors_.begin(), tensors_.end(), [](auto& a, auto& b) { return a.name < b.name; });
  for (std::size_t i = 1; i < tensors_.size(); ++i)
    expect(tensors_[i].name != tensors_[i - 1].name, error_kind::damaged,
           [&] { return cat(path_, ": tensor \"", tensors_[i].name, "\" is in two shards"); });
}

namespace detail {
/// The JSON of a file; the tensors' data begins right after it.
inline std::string_view safetensors_header(std::span<const std::byte> bytes, const std::string& name) {
  expect(bytes.size() >= 8, error_kind::damaged,
         [&] { return cat(name, ": not a safetensors file: expected at least 8 bytes, got ", bytes.size()); });
  std::uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  expect_no_lfs_pointer(bytes, name);
  expect(!is_of_torch(bytes), error_kind::unsupported,
         [&] { return cat(name, ": a PyTorch file (.pt, .pth, .bin), where a safetensors file is expected"); });
  expect(n <= 100'000'000 && n <= bytes.size() - 8, error_kind::damaged, [&] {
    if (n > 100'000'000 && bytes[0] == std::byte{'<'})  // a header of 60 bytes begins so, too
      return cat(name, ": not a safetensors file: it begins with \"<\", as a web page does; download the file itself");
    const bool cut = n <= 100'000'000 && bytes.size() > 8 && bytes[8] == std::byte{'{'};
    return cat(name, cut ? ": an incomplete" : ": not a", " safetensors file: the header's length is ", n, ", the file has ",
               bytes.size(), " bytes", cut ? "; fetch or copy it again" : " (at most 100,000,000 of header)");
  });
  const std::string_view header(text, n);
  const auto first = header.find_first_not_of(" \t\r\n");
  expect(first != std::string_view::npos && header[first] == '{', error_kind::damaged,
         [&] { return cat(name, ": not a safetensors file: expected a header that begins with \"{\""); });
  return header;
}

/// Reads sizes into `t`, whose type is known. Returns the number of bytes that they take.
inline std::uint64_t read_sizes(const json& sizes, tensor_info& t, function_ref<void(const std::string&)> bad) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<dim>::max());
  std::uint64_t total = static_cast<std::uint64_t>(bits_of(t.type));  // of the sizes that are not 0
  bool none = false;
  for (auto& d : sizes) {
    if (!d.is_number_unsigned()) bad("a size is not a whole number");
    const auto size = d.get<std::uint64_t>();
    if (size > 0 && total > most / size) bad("its sizes overflow");
    if (size > 0) total *= size;
    else none = true;
    t.shape.push_back(static_cast<dim>(size));
  }
  if (none) return 0;
  if (total % 8) bad(cat("its values take ", total, " bits, which is not a whole number of bytes"));
  return total / 8;
}

/// Reads one tensor of the header. `bad` throws an error about it.
inline tensor_info read_tensor(const std::string& key, const json& value, std::span<std::byte> data, const auto& bad) {
  if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") || !value.contains("data_offsets"))
    bad("expected dtype, shape and data_offsets");
  const auto &type = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  if (!type.is_string() || !shape.is_array() || !offsets.is_array() || offsets.size() != 2)
    bad("dtype, shape or data_offsets has the wrong form");
  tensor_info t;
  t.name = key;
  for (auto& row : dtype_table)
    if (type.get<std::string>() == row.name) t.type = row.type;
  if (t.type == dtype::other) bad(cat("unknown dtype ", type.get<std::string>()), error_kind::unsupported);
  const auto total = read_sizes(shape, t, bad);
  if (!offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) bad("data_offsets are not whole numbers");
  const auto begin = offsets[0].get<std::uint64_t>(), end = offsets[1].get<std::uint64_t>();
  if (begin > end || end > data.size())
    bad(cat("data_offsets [", begin, ", ", end, ") reach outside the ", data.size(), " bytes of data",
            begin > end ? "" : "; the file is incomplete: fetch or copy it again"));
  if (end - begin != total) bad(cat("its shape takes ", total, " bytes, its data_offsets ", end - begin));
  t.data = data.data() + begin;
  t.bytes = end - begin;
  return t;
}

/// The tensors, sorted by offset, must tile the data exactly.
inline void check_tiling(std::span<const tensor_info> tensors, std::span<const std::byte> data, const std::string& name) {
  std::vector<const tensor_info*> order;
  for (auto& t : tensors) order.push_back(&t);
  std::sort(order.begin(), order.end(),
            [](auto* a, auto* b) { return a->data != b->data ? a->data < b->data : a->bytes < b->bytes; });
  const std::byte* at = data.data();
  for (auto* t : order) {
    expect(t->data == at, error_kind::damaged, [&] {
      return cat(name, ": tensor \"", t->name, "\": ", t->data > at ? "a hole" : "an overlap", " before it in the data");
    });
    at += t->bytes;
  }
  expect(at == data.data() + data.size(), error_kind::damaged,
         [&] { return cat(name, ": ", data.data() + data.size() - at, " bytes after the last tensor"); });
}
}  // namespace detail

/// The format's own library reads what repeats a tensor, or a key of the metadata: the last one counts.
CLIPX_INLINE void tensor_file::add_safetensors(std::span<std::byte> bytes, const std::string& name) {
  const auto text = detail::safetensors_header(bytes, name);
  const auto repeats = [](const std::string* owner, const std::string& key) {
    return owner ? *owner == "__metadata__" : key != "__metadata__";
  };
  const auto header = detail::parse_json(text, name, 4, nullptr, repeats);
  const std::span<std::byte> data = bytes.subspan(8 + text.size());
  const std::size_t first = tensors_.size();
  for (auto& [key, value] : header.items()) {
    const auto bad = [&, &key = key](const std::string& what, error_kind kind = error_kind::damaged) {
      fail(kind, cat(name, ": tensor \"", key, "\": ", what));
    };
    if (key != "__metadata__") {
      tensors_.push_back(detail::read_tensor(key, value, data, bad));
      continue;
    }
    if (value.is_null()) continue;
    if (!value.is_object()) bad("expected an object of strings");
    for (auto& [k, v] : value.items()) {
      if (!v.is_string()) bad(cat("\"", k, "\": expected a string"));
      metadata_.emplace_back(k, v.get<std::string>());
    }
  }
  detail::check_tiling(std::span(tensors_).subspan(first), data, name);
}

namespace detail {
/// The weight_map of an index: tensors, and the files that they are in.
inline std::vector<std::pair<std::string, std::string>> read_weight_map(const std::string& text, const std::string& path) {
  expect_no_lfs_pointer(std::as_bytes(std::span(text)), path);
  const auto index = parse_json(text, path, 4);
  expect(index.is_object() && index.contains("weight_map") && index["weight_map"].is_object(), error_kind::damaged,
         [&] { return cat(path, ": expected an object with weight_map"); });
  std::vector<std::pair<std::string, std::string>> out;
  for (auto& [tensor, file] : index["weight_map"].items()) {
    expect(file.is_string() && file.get<std::string>().find('/') == std::string::npos, error_kind::damaged, [&, &tensor = tensor] {
      return cat(path, ": tensor \"", tensor, "\": expected the name of a file in the same folder");
    });
    out.emplace_back(tensor, file.get<std::string>());
  }
  expect(!out.empty(), error_kind::damaged, [&] { return cat(path, ": its weight_map is empty"); });
  return out;
}
}  // namespace detail

CLIPX_INLINE tensor_file tensor_file::open(const std::string& path) {
  const auto slash = path.rfind('/') + 1;  // 0: none
  return open(file_set::folder(path.substr(0, slash)), path.substr(slash));
}

CLIPX_INLINE tensor_file tensor_file::open(const file_set& files, const std::string& name) {
  tensor_file out;
  out.load(files, name, true);
  return out;
}

CLIPX_INLINE void tensor_file::load(const file_set& files, const std::string& name, bool torch_too) {
  path_ = files.path(name);
  std::vector<std::string> shards{name};
  std::vector<std::pair<std::string, std::string>> listed;  // tensor, shard
  if (name.ends_with(".json")) {
    listed = detail::read_weight_map(files.text(name), path_);
    shards.clear();
    std::set<std::string> known;
    for (auto& [tensor, shard] : listed)
      if (known.insert(shard).second) shards.push_back(shard);
  }
  for (auto& shard : shards) {
    files_.push_back(files.open(shard));
    const auto& bytes = files_.back().bytes;
    const auto of_torch = torch_too && detail::is_of_torch(bytes);
    if (of_torch) add_torch(files_.back(), files.path(shard));
    else add_safetensors(bytes, files.path(shard));
  }
  sort();
  for (auto& [tensor, shard] : listed)
    expect(find(tensor) != nullptr, error_kind::damaged,
           [&, &tensor = tensor, &shard = shard] { return cat(path_, ": tensor \"", tensor, "\" is not in ", files.path(shard)); });
}

CLIPX_INLINE void to_float(dtype type, const std::byte* from, std::span<float> to) {
  const auto each = [&]<class Raw>(Raw, auto&& value) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      Raw raw;
      std::memcpy(&raw, from + i * sizeof(Raw), sizeof(Raw));
      to[i] = value(raw);
    }
  };
  switch (type) {
    case dtype::f32:
      if (!to.empty()) std::memcpy(to.data(), from, to.size_bytes());
      return;
    case dtype::f64:
      return each(double{}, [](double v) { return static_cast<float>(v); });
    case dtype::f16:
      return each(std::uint16_t{}, f16_to_float);
    case dtype::bf16:
      return each(std::uint16_t{}, [](std::uint16_t v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v) << 16); });
    default:
      fail(error_kind::unsupported, cat("expected weights in F64, F32, F16 or BF16, got ", name_of(type)));
  }
}

}  // namespace clipx
