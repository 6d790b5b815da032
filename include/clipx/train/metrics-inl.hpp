#pragma once
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "../core/function_ref.hpp"
#include "../core/json-inl.hpp"
#include "../io/file.hpp"
#include "metrics.hpp"

namespace clipx {
namespace detail {

CLIPX_INLINE growing_file::~growing_file() {
  if (fd_ >= 0) ::close(fd_);
}

CLIPX_INLINE void growing_file::append(std::string_view bytes) {
  const auto before = ::lseek(fd_, 0, SEEK_END);
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string why = n < 0 ? std::strerror(errno) : "no progress";
      const bool whole = before >= 0 && ::ftruncate(fd_, before) == 0;
      fail(error_kind::io, cat(path_, ": cannot be written: ", why, whole ? "" : "; its end may be torn"));
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

CLIPX_INLINE growing_file open_growing(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  expect(fd >= 0, system_error_kind(errno), [&] { return cat(path, ": cannot be written: ", std::strerror(errno)); });
  return {fd, path};
}

/// The text with U+FFFD in place of invalid UTF-8.
CLIPX_INLINE std::string repaired_utf8(std::string_view text) {
  const auto quoted = json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
  return json::parse(quoted).get<std::string>();
}

/// Reads a line. Errors: it is no record; `place` is for messages.
CLIPX_INLINE metrics_record read_metrics_line(std::string_view line, const std::string& place) {
  std::vector<std::string> names;
  const json object = parse_json(line.substr(0, line.size() - 1), place, 8, &names);
  expect(object.is_object(), error_kind::damaged,
         [&] { return cat(place, ": expected an object, got ", object.dump().substr(0, 40)); });
  metrics_record record;
  const auto step = object.find("step");
  expect(step != object.end() && step->is_number_unsigned() && step->get<std::uint64_t>() <= std::uint64_t(1) << 62,
         error_kind::damaged, [&] { return cat(place, ": expected a whole number \"step\""); });
  record.step = step->get<dim>();
  record.line = line;
  for (const auto& name : names) {
    if (name == "step") continue;
    const auto& value = object[name];
    expect(value.is_number() || value.is_null(), error_kind::damaged,
           [&] { return cat(place, ": \"", name, "\": expected a number or null, got ", value.dump().substr(0, 40)); });
    record.values.emplace_back(name, value.is_null() ? std::nan("") : value.get<double>());
  }
  return record;
}

CLIPX_INLINE void for_each_record(const std::string& path, function_ref<void(const metrics_record&)> f,
                                  function_ref<void(std::string_view line, const error&)> bad) {
  const auto file = mapped_file::open(path);
  std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::size_t end;
  for (int number = 1; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1), ++number) {
    const auto line = text.substr(0, end + 1);
    std::optional<metrics_record> record;
    try {
      record = read_metrics_line(line, cat(path, ": line ", number));
    } catch (const error& e) { bad(line, e); }
    if (record) f(*record);
  }
  file.expect_whole();
}

// TensorBoard's files are TFRecords: length (8 bytes), its checksum, an Event in protobuf's wire format, and its checksum.

CLIPX_INLINE std::uint32_t crc32c(std::string_view bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> out{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      out[i] = i;
      for (int bit = 0; bit < 8; ++bit) out[i] = (out[i] >> 1) ^ (out[i] & 1 ? 0x82F63B78u : 0);
    }
    return out;
  }();
  std::uint32_t crc = ~0u;
  for (const char c : bytes) crc = (crc >> 8) ^ table[(crc ^ static_cast<unsigned char>(c)) & 255];
  return ~crc;
}

template <class N>
void put_little_endian(std::string& out, N number) {
  for (std::size_t i = 0; i < sizeof number; ++i) out += static_cast<char>(number >> 8 * i & 255);
}

CLIPX_INLINE void put_varint(std::string& out, std::uint64_t number) {
  for (; number >= 128; number >>= 7) out += static_cast<char>(number | 128);
  out += static_cast<char>(number);
}

/// Fields of a message: number and wire type (0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes), then the value.
CLIPX_INLINE void put_varint(std::string& out, int field, std::uint64_t number) {
  out += static_cast<char>(field << 3 | 0);
  put_varint(out, number);
}
CLIPX_INLINE void put_bytes(std::string& out, int field, std::string_view bytes) {
  out += static_cast<char>(field << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

/// Event {wall_time = 1, step = 2, oneof: file_version = 3, summary = 5, session_log = 7}, framed.
CLIPX_INLINE std::string event_record(dim step, int field, std::string_view body) {
  const auto masked_crc = [](std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xA282EAD8u; };
  const double now = std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  std::string event, out;
  event += static_cast<char>(1 << 3 | 1);
  put_little_endian(event, std::bit_cast<std::uint64_t>(now));
  put_varint(event, 2, static_cast<std::uint64_t>(step));
  put_bytes(event, field, body);
  put_little_endian(out, std::uint64_t(event.size()));
  put_little_endian(out, masked_crc(out));
  out += event;
  put_little_endian(out, masked_crc(event));
  return out;
}

/// Creates a file of events that starts at a step: records of this and later steps in the folder's other files become invalid.
CLIPX_INLINE growing_file open_events(const std::string& folder, dim step) {
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  char host[256] = "";
  if (::gethostname(host, sizeof host - 1) != 0 || !host[0]) std::strcpy(host, "localhost");
  for (int number = 0;; ++number) {
    const auto path = cat(folder, "/events.out.tfevents.", now, ".", std::string_view(host), ".", ::getpid(), ".", number);
    const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    expect(fd >= 0, system_error_kind(errno), [&] { return cat(path, ": cannot be written: ", std::strerror(errno)); });
    growing_file out(fd, path);
    std::string started;  // SessionLog {status = 1: START}
    put_varint(started, 1, 1);
    out.append(event_record(0, 3, "brain.Event:2") + event_record(step, 7, started));
    return out;
  }
}

}  // namespace detail

CLIPX_INLINE metrics_log::metrics_log(const std::string& folder, dim resumed, bool tensorboard) {
  expect(resumed >= 0, [&] { return cat("metrics_log: expected a step to resume after, or 0, got ", resumed); });
  const auto path = folder + "/metrics.jsonl";
  std::string kept, aside;
  if (resumed > 0 && ::access(path.c_str(), F_OK) == 0)
    detail::for_each_record(
        path,
        [&](const detail::metrics_record& r) {
          if (r.step <= resumed) kept += r.line;
        },
        [&](std::string_view line, const error& e) {
          aside += line;
          if (damaged_.size() < 3) damaged_.push_back(e.what());
        });
  if (!aside.empty()) detail::open_growing(folder + "/metrics.damaged.jsonl").append(aside);
  write_file(path, kept);
  lines_ = detail::open_growing(path);
  if (tensorboard) events_ = detail::open_events(folder, resumed > 0 ? resumed + 1 : 0);
}

CLIPX_INLINE void metrics_log::write(dim step, std::span<const metric> values) {
  expect(step >= 0, [&] { return cat("metrics_log: expected a step of 0 or more, got ", step); });
  std::string line = cat("{\"step\": ", step), summary;
  std::vector<std::string> tags{"step"};
  for (const metric& m : values) {
    const auto tag = detail::repaired_utf8(m.name);
    expect(std::find(tags.begin(), tags.end(), tag) == tags.end(),
           [&] { return cat("metrics_log: step ", step, ": \"", tag, "\" twice in one line"); });
    tags.push_back(tag);
    line += cat(", ", detail::json(tag).dump(), ": ");
    line += std::isfinite(m.value) ? cat(m.value) : "null";
    if (!events_) continue;
    std::string scalar;  // Summary {repeated Value = 1 {tag = 1, simple_value = 2}}
    detail::put_bytes(scalar, 1, tag);
    scalar += static_cast<char>(2 << 3 | 5);
    detail::put_little_endian(scalar, std::bit_cast<std::uint32_t>(static_cast<float>(m.value)));
    detail::put_bytes(summary, 1, scalar);
  }
  lines_.append(line += "}\n");
  if (events_) events_.append(detail::event_record(step, 5, summary));
}

}  // namespace clipx
