// Definitions of safetensors.hpp.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <set>

#include "../core/bf16.hpp"
#include "../core/error.hpp"
#include "../core/json-inl.hpp"
#include "checksum.hpp"
#include "safetensors.hpp"
#include "tensor_file-inl.hpp"

namespace clipx {

CLIPX_INLINE safetensors safetensors::open(const std::string& path) {
  const auto slash = path.rfind('/') + 1;  // 0: none
  return open(file_set::folder(path.substr(0, slash)), path.substr(slash));
}

CLIPX_INLINE safetensors safetensors::open(const file_set& files, const std::string& name) {
  safetensors out;
  out.load(files, name, false);
  return out;
}

CLIPX_INLINE dim tensor_to_write::count() const {
  dim n = 1;
  for (dim d : shape) n *= d;
  return n;
}

namespace detail {
/// Indices into `tensors` in file order: by descending alignment, then by name.
inline std::vector<std::size_t> order_in_file(const std::vector<tensor_to_write>& tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t i, std::size_t j) {
    const auto &a = tensors[i], &b = tensors[j];
    return size_of(a.type) != size_of(b.type) ? size_of(a.type) > size_of(b.type) : a.name < b.name;
  });
  return order;
}

/// The header, padded to 8 bytes.
inline std::string header_text(const std::string& path, const std::vector<tensor_to_write>& tensors,
                               const std::vector<std::size_t>& order,
                               const std::vector<std::pair<std::string, std::string>>& metadata) {
  std::string text;
  const auto entry = [&](const std::string& name, const json& value) {
    text += cat(text.empty() ? "{" : ",", json(name).dump(), ":", value.dump());
  };
  try {
    if (auto notes = json::object(); !metadata.empty()) {
      for (auto& [k, v] : metadata) notes[k] = v;
      entry("__metadata__", notes);
    }
    std::set<std::string_view> names{"__metadata__"};
    dim at = 0;
    for (auto i : order) {
      const auto& t = tensors[i];
      expect(names.insert(t.name).second, [&] { return cat(path, ": tensor \"", t.name, "\": the name is taken"); });
      const dim bytes = t.count() * size_of(t.type);
      entry(t.name, {{"dtype", name_of(t.type)}, {"shape", t.shape}, {"data_offsets", {at, at + bytes}}});
      at += bytes;
    }
  } catch (const json::exception& e) { fail(cat(path, ": a name is not UTF-8: ", e.what())); }
  text += text.empty() ? "{}" : "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

inline bool is_finite(float v) { return std::isfinite(v); }
inline bool is_finite(std::uint16_t f16) { return (f16 & 0x7c00) != 0x7c00; }
inline bool is_finite(bf16 v) { return (v.bits & 0x7f80) != 0x7f80; }

/// Converts numbers to elements of the tensor's type. Error: a finite number that the type cannot represent.
inline void to_elements(const std::string& path, const tensor_to_write& t, std::span<const double> numbers,
                        std::vector<std::byte>& bytes) {
  const auto size = static_cast<std::size_t>(size_of(t.type));
  bytes.resize(numbers.size() * size);
  const auto store = [&](auto convert) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto v = convert(numbers[i]);
      if constexpr (sizeof v < sizeof(double))
        if (!is_finite(v) && std::isfinite(numbers[i]))
          fail(cat(path, ": tensor \"", t.name, "\": value ", i, " is ", static_cast<float>(numbers[i]), ", which ",
                   name_of(t.type), " cannot hold", t.type == dtype::f16 ? " (at most 65504): BF16 and F32 can" : ""));
      std::memcpy(bytes.data() + i * size, &v, size);
    }
  };
  switch (t.type) {
    case dtype::f64:
      return store([](double v) { return v; });
    case dtype::f32:
      return store([](double v) { return static_cast<float>(v); });
    case dtype::f16:
      return store([](double v) { return float_to_f16(static_cast<float>(v)); });
    case dtype::bf16:
      return store([](double v) { return bf16(v); });
    default:
      fail(cat(path, ": tensor \"", t.name, "\": ", name_of(t.type), " is not written"));
  }
}
}  // namespace detail

namespace detail {

/// The entry of the metadata that holds the checksum, up to its value.
inline constexpr std::string_view checksum_entry = "\"checksum\":\"";

/// Calls put with each part of the file.
inline void put_safetensors(const std::string& path, const std::vector<tensor_to_write>& tensors,
                            function_ref<void(std::size_t, std::span<double>)> values, std::span<const std::size_t> order,
                            const std::string& header, file_writer put) {
  const std::uint64_t n = header.size();
  put(std::as_bytes(std::span(&n, 1)));
  put(std::as_bytes(std::span(header)));
  std::vector<double> numbers;
  std::vector<std::byte> bytes;
  for (auto which : order) {
    numbers.resize(static_cast<std::size_t>(tensors[which].count()));
    values(which, numbers);
    to_elements(path, tensors[which], numbers, bytes);
    put(bytes);
  }
}

}  // namespace detail

CLIPX_INLINE void write_safetensors(const std::string& path, const std::vector<tensor_to_write>& tensors,
                                    function_ref<void(std::size_t, std::span<double>)> values,
                                    const std::vector<std::pair<std::string, std::string>>& metadata) {
  const auto order = detail::order_in_file(tensors);
  const auto header = detail::header_text(path, tensors, order, metadata);
  write_file(path, [&](file_writer put) { detail::put_safetensors(path, tensors, values, order, header, put); });
}

CLIPX_INLINE void write_checked_safetensors(const std::string& path, const std::vector<tensor_to_write>& tensors,
                                            function_ref<void(std::size_t, std::span<double>)> values,
                                            std::vector<std::pair<std::string, std::string>> metadata) {
  metadata.emplace_back("checksum", std::string(checksum::hex_digits, '0'));  // the sum is over zeros in its place
  const auto order = detail::order_in_file(tensors);
  const auto header = detail::header_text(path, tensors, order, metadata);
  const auto place = header.find(detail::checksum_entry) + detail::checksum_entry.size();
  new_file file(path);
  checksum sum;
  detail::put_safetensors(path, tensors, values, order, header, [&](std::span<const std::byte> bytes) {
    sum.add(bytes);
    file.write(bytes);
  });
  const auto hex = sum.hex();
  file.replace(sizeof(std::uint64_t) + place, std::as_bytes(std::span(hex)));
  file.commit();
}

CLIPX_INLINE void safetensors::check() const {
  expect(files_.size() == 1, [&] { return cat(path_, ": expected one file, got ", files_.size()); });
  const std::span<const std::byte> bytes = files_[0].bytes;
  const auto header = detail::safetensors_header(bytes, path_);
  const auto entry = header.find(detail::checksum_entry);
  const auto place = entry + detail::checksum_entry.size();
  expect(entry != std::string_view::npos && header.size() - place >= checksum::hex_digits, error_kind::damaged, [&] {
    return cat(path_, ": expected a checksum in its metadata, got none: it is damaged, or of a version without them");
  });
  const auto zeros = std::string(checksum::hex_digits, '0');
  const auto value = header.substr(place, checksum::hex_digits);
  checksum sum;
  const auto at = sizeof(std::uint64_t) + place;
  sum.add(bytes.first(at));
  sum.add(std::as_bytes(std::span(zeros)));
  sum.add(bytes.subspan(at + checksum::hex_digits));
  const auto found = sum.hex();
  files_[0].file.expect_whole();
  expect(found == value, error_kind::damaged,
         [&] { return cat(path_, ": damaged: expected the checksum ", value, ", got ", found); });
}

}  // namespace clipx
