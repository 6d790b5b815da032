#pragma once
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>

#include "../core/error.hpp"
#include "file.hpp"
#include "npy.hpp"

namespace clipx {

CLIPX_INLINE void write_npy(const std::string& path, std::span<const float> values, const std::vector<dim>& shape) {
  dim count = 1;
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (dim d : shape) {
    count *= d;
    header += cat(d, ", ");
  }
  expect(count == static_cast<dim>(values.size()), [&] { return cat(path, ": expected ", count, " values, got ", values.size()); });
  if (shape.size() > 1) header.resize(header.size() - 2);
  header += "), }";
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');  // the data begins at a multiple of 64
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(length & 0xff);
  start += static_cast<char>(length >> 8);
  write_file(path, [&](file_writer put) {
    put(std::as_bytes(std::span(start)));
    put(std::as_bytes(std::span(header)));
    put(std::as_bytes(values));
  });
}

CLIPX_INLINE npy_array read_npy(const std::string& path) {
  const auto file = mapped_file::open(path);
  auto out = parse_npy(file.bytes(), path);
  file.expect_whole();
  return out;
}

namespace detail {
/// The header of the array; its data begins right after it.
inline std::string_view npy_header(std::span<const std::byte> bytes, const std::string& name) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  expect(bytes.size() >= 10 && std::memcmp(text, "\x93NUMPY", 6) == 0, error_kind::damaged,
         [&] { return cat(name, ": not an .npy file"); });
  const int version = std::to_integer<int>(bytes[6]);
  expect(version >= 1 && version <= 3, error_kind::unsupported, [&] { return cat(name, ": unknown .npy version ", version); });
  const std::size_t prefix = version == 1 ? 10 : 12;
  expect(bytes.size() >= prefix, error_kind::damaged, [&] { return cat(name, ": the file ends inside its header"); });
  std::size_t length = 0;
  for (std::size_t i = prefix; i-- > 8;) length = length << 8 | static_cast<std::uint8_t>(text[i]);
  expect(length <= bytes.size() - prefix && length <= 65536, error_kind::damaged,
         [&] { return cat(name, ": the file ends inside its header of ", length, " bytes"); });
  return {text + prefix, length};
}

/// The text after a key of the header.
inline std::string_view npy_value(std::string_view header, std::string_view key, const std::string& name) {
  const auto at = header.find(key);
  expect(at != std::string_view::npos, error_kind::damaged, [&] { return cat(name, ": header without ", key); });
  auto rest = header.substr(at + key.size());
  while (!rest.empty() && (rest[0] == ' ' || rest[0] == ':')) rest.remove_prefix(1);
  return rest;
}

/// Reads "(2, 3)" into `shape` and returns the number of values, for a file of `bytes` bytes.
inline std::uint64_t read_npy_shape(std::string_view list, std::vector<dim>& shape, std::size_t bytes, const std::string& name) {
  const auto misfit = [&] { return cat(name, ": the shape does not fit the file's ", bytes, " bytes"); };
  expect(list.starts_with("("), error_kind::damaged, [&] { return cat(name, ": header without a shape"); });
  list.remove_prefix(1);
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<dim>::max());
  std::uint64_t count = 1;  // of the sizes that are not 0
  bool none = false;
  while (!list.empty() && list[0] != ')') {
    if (list[0] == ',' || list[0] == ' ') {
      list.remove_prefix(1);
      continue;
    }
    std::uint64_t d = 0;
    const auto end = std::from_chars(list.data(), list.data() + list.size(), d);
    expect(end.ec == std::errc{} && shape.size() < 32 && (d == 0 || count <= most / d), error_kind::damaged, misfit);
    if (d) count *= d;
    else none = true;
    shape.push_back(static_cast<dim>(d));
    list.remove_prefix(static_cast<std::size_t>(end.ptr - list.data()));
  }
  expect(!list.empty(), error_kind::damaged, [&] { return cat(name, ": header with a shape that does not end"); });
  if (none) count = 0;
  expect(count <= bytes, error_kind::damaged, misfit);
  return count;
}

/// `count` elements of type E as float.
template <class E>
std::vector<float> npy_values(std::span<const std::byte> data, std::uint64_t count, const std::string& name) {
  expect(count * sizeof(E) == data.size(), error_kind::damaged,
         [&] { return cat(name, ": expected ", count * sizeof(E), " bytes of data, got ", data.size()); });
  std::vector<float> out(count);
  for (std::size_t i = 0; i < count; ++i) {
    E v;
    std::memcpy(&v, data.data() + i * sizeof(E), sizeof(E));
    out[i] = static_cast<float>(v);
  }
  return out;
}
}  // namespace detail

CLIPX_INLINE npy_array parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const auto header = detail::npy_header(bytes, name);
  const auto after = [&](std::string_view key) { return detail::npy_value(header, key, name); };
  expect(after("'fortran_order'").starts_with("False"), error_kind::unsupported, [&] { return cat(name, ": expected C order"); });
  const auto type = after("'descr'").substr(0, 5);
  npy_array out;
  const auto count = detail::read_npy_shape(after("'shape'"), out.shape, bytes.size(), name);
  const auto data = bytes.last(
      bytes.size() - static_cast<std::size_t>(header.data() + header.size() - reinterpret_cast<const char*>(bytes.data())));
  if (type == "'<f4'") out.values = detail::npy_values<float>(data, count, name);
  else if (type == "'<f8'") out.values = detail::npy_values<double>(data, count, name);
  else if (type == "'<i4'") out.values = detail::npy_values<std::int32_t>(data, count, name);
  else if (type == "'<i8'") out.values = detail::npy_values<std::int64_t>(data, count, name);
  else if (type == "'|u1'") out.values = detail::npy_values<std::uint8_t>(data, count, name);
  else fail(error_kind::unsupported, cat(name, ": expected <f4, <f8, <i4, <i8 or |u1, got ", type));
  return out;
}

}  // namespace clipx
