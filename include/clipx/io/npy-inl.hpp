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
  for (dim d : shape) count *= d, header += cat(d, ", ");
  expect(count == static_cast<dim>(values.size()), [&] { return cat(path, ": expected ", count, " values, got ", values.size()); });
  if (shape.size() > 1) header.resize(header.size() - 2);
  header += "), }";
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');  // data begins at a multiple of 64
  header += '\n';
  const auto length = static_cast<std::uint16_t>(header.size());
  std::string start("\x93NUMPY\x01\x00", 8);
  start += static_cast<char>(length & 0xff), start += static_cast<char>(length >> 8);
  write_file(path, [&](file_writer put) {
    put(std::as_bytes(std::span(start)));
    put(std::as_bytes(std::span(header)));
    put(std::as_bytes(values));
  });
}

CLIPX_INLINE npy_array read_npy(const std::string& path) {
  const auto file = mapped_file::open(path);
  return parse_npy(file.bytes(), path);
}

CLIPX_INLINE npy_array parse_npy(std::span<const std::byte> bytes, const std::string& name) {
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  expect(bytes.size() >= 10 && std::memcmp(text, "\x93NUMPY", 6) == 0, [&] { return cat(name, ": not an .npy file"); });
  const int version = text[6];
  expect(version >= 1 && version <= 3, [&] { return cat(name, ": unknown .npy version ", version); });
  const std::size_t prefix = version == 1 ? 10 : 12;
  expect(bytes.size() >= prefix, [&] { return cat(name, ": the file ends inside its header"); });
  std::size_t length = 0;
  for (std::size_t i = prefix; i-- > 8;) length = length << 8 | static_cast<std::uint8_t>(text[i]);
  expect(length <= bytes.size() - prefix && length <= 65536,
         [&] { return cat(name, ": the file ends inside its header of ", length, " bytes"); });
  const std::string_view header(text + prefix, length);
  const auto after = [&](std::string_view key) {
    const auto at = header.find(key);
    expect(at != std::string_view::npos, [&] { return cat(name, ": header without ", key); });
    auto rest = header.substr(at + key.size());
    while (!rest.empty() && (rest[0] == ' ' || rest[0] == ':')) rest.remove_prefix(1);
    return rest;
  };
  expect(after("'fortran_order'").starts_with("False"), [&] { return cat(name, ": expected C order"); });
  const auto type = after("'descr'").substr(0, 5);
  auto list = after("'shape'");
  expect(list.starts_with("("), [&] { return cat(name, ": header without a shape"); });
  list.remove_prefix(1);
  npy_array out;
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
    expect(end.ec == std::errc{} && out.shape.size() < 32 && (d == 0 || count <= most / d),
           [&] { return cat(name, ": the shape does not fit the file's ", bytes.size(), " bytes"); });
    if (d) count *= d;
    else none = true;
    out.shape.push_back(static_cast<dim>(d));
    list.remove_prefix(static_cast<std::size_t>(end.ptr - list.data()));
  }
  expect(!list.empty(), [&] { return cat(name, ": header with a shape that does not end"); });
  if (none) count = 0;
  expect(count <= bytes.size(), [&] { return cat(name, ": the shape does not fit the file's ", bytes.size(), " bytes"); });
  const auto read = [&]<class E>(E) {
    const auto* data = bytes.data() + prefix + length;
    expect(count * sizeof(E) == bytes.size() - prefix - length,
           [&] { return cat(name, ": expected ", count * sizeof(E), " bytes of data, got ", bytes.size() - prefix - length); });
    out.values.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      E v;
      std::memcpy(&v, data + i * sizeof(E), sizeof(E));
      out.values[i] = static_cast<float>(v);
    }
  };
  if (type == "'<f4'") read(float{});
  else if (type == "'<f8'") read(double{});
  else if (type == "'<i4'") read(std::int32_t{});
  else if (type == "'<i8'") read(std::int64_t{});
  else if (type == "'|u1'") read(std::uint8_t{});
  else fail(cat(name, ": expected <f4, <f8, <i4, <i8 or |u1, got ", type));
  return out;
}

}  // namespace clipx
