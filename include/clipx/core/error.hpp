// clipx::error, the only exception type, and the helpers that raise it.
#pragma once
#if __cplusplus < 202002L
#error "clipx needs C++20: compile with -std=c++20"
#endif
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

// Marks definitions in *-inl.hpp files: `inline` when clipx is used header-only, empty when it is compiled once (target
// clipx::clipx-compiled, which defines CLIPX_COMPILED for itself and its users).
#ifdef CLIPX_COMPILED
#define CLIPX_INLINE
#else
#define CLIPX_INLINE inline
#endif

namespace clipx {

/// The caller's position in the source, filled in by default arguments (clang 14 has no std::source_location).
struct where {
  const char* file = "";  // as __FILE__ names it
  int line = 0;           // counted from 1; 0: unknown
  /// The place of the call.
  static where here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

/// What kind of failure an error reports, for callers that act on it (docs/errors.md). what() is for people.
enum class error_kind {
  invalid_argument,  ///< a value, shape or option that the call does not take
  not_found,         ///< a file, folder or name that does not exist
  io,                ///< the system refused to open, read, map or write a file
  damaged,           ///< a file that is not what its format asks for
  unsupported,       ///< a valid file or request that this version, or this build, does not handle
  mismatch,          ///< things that are valid alone but do not fit together: tensors and configuration, tokenizer and model
  out_of_memory,     ///< a device's memory; the host's throws std::bad_alloc
  device,            ///< a device that is absent or failed
  cancelled,         ///< the caller asked a long call to end (observer::cancelled)
};

/// The only exception type of the library. what() says what was expected, what was found, and in which file or tensor.
class error : public std::runtime_error {
 public:
  /// `message` becomes what(); `at` is the caller's place unless it is given.
  error(error_kind kind, const std::string& message, where at = where::here())
      : std::runtime_error(message), kind_(kind), at_(at) {}
  /// The same with error_kind::invalid_argument.
  explicit error(const std::string& message, where at = where::here()) : error(error_kind::invalid_argument, message, at) {}
  /// For callers that act on it.
  error_kind kind() const noexcept { return kind_; }
  /// Source position of the failed check, for bug reports.
  where at() const noexcept { return at_; }
  /// The same error, whose message begins with a name and a colon.
  error in(const std::string& name) const { return {kind_, name + ": " + what(), at_}; }

 private:
  error_kind kind_;
  where at_;
};

namespace detail {
inline void append(std::string& out, std::string_view s) { out += s; }
inline void append(std::string& out, char c) { out += c; }
template <class N>
requires std::is_arithmetic_v<N>
void append(std::string& out, N number) {
  char digits[40];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}
}  // namespace detail

/// Joins strings and numbers: cat("expected ", 3, ", got ", n).
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::string out;
  (detail::append(out, parts), ...);
  return out;
}

/// The kind of a call to the system that failed with this errno: not_found where there is no such file or folder (0: nothing
/// failed, and what was looked for is not there), else io.
inline error_kind system_error_kind(int code) {
  return code == 0 || code == ENOENT || code == ENOTDIR ? error_kind::not_found : error_kind::io;
}

/// Throws clipx::error(kind, message).
[[noreturn]] inline void fail(error_kind kind, const std::string& message, where at = where::here()) {
  throw error(kind, message, at);
}
/// Throws clipx::error(message).
[[noreturn]] inline void fail(const std::string& message, where at = where::here()) { throw error(message, at); }

/// Throws clipx::error(kind, message()) unless ok; the message is built only on failure.
template <class Message>
void expect(bool ok, error_kind kind, Message&& message, where at = where::here()) {
  if (ok) return;
  if constexpr (std::is_invocable_v<Message>) throw error(kind, message(), at);
  else throw error(kind, std::string(message), at);
}
/// The same for a value, shape or option that the call does not take: error_kind::invalid_argument.
template <class Message>
void expect(bool ok, Message&& message, where at = where::here()) {
  expect(ok, error_kind::invalid_argument, std::forward<Message>(message), at);
}

}  // namespace clipx
