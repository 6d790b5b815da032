// clipx::error, the one exception type, and the few helpers that every reader and op uses to raise it.
#pragma once
#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

// Definitions in *-inl.hpp files carry this: `inline` when clipx is used header-only, nothing when it is compiled once
// (target clipx::clipx-compiled, which defines CLIPX_COMPILED for its users and itself).
#ifdef CLIPX_COMPILED
#define CLIPX_INLINE
#else
#define CLIPX_INLINE inline
#endif

namespace clipx {

/// The caller's place in the source, filled in by default arguments (clang 14 has no std::source_location).
struct where {
  const char* file = "";  // as __FILE__ names it
  int line = 0;           // counted from 1; 0: unknown
  /// The place of the call.
  static where here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

/// What a caller can get wrong: files, shapes, devices. what() says what, expected, got and in which file or tensor.
class error : public std::runtime_error {
 public:
  /// `message` becomes what(); `at` is the caller's place unless it is given.
  explicit error(const std::string& message, where at = where::here()) : std::runtime_error(message), at_(at) {}
  /// Source position of the failed check, for bug reports.
  where at() const noexcept { return at_; }

 private:
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

/// Throws clipx::error(message).
[[noreturn]] inline void fail(const std::string& message, where at = where::here()) { throw error(message, at); }

/// Throws clipx::error(message()) unless ok; the message is built only on failure.
template <class Message>
void expect(bool ok, Message&& message, where at = where::here()) {
  if (ok) return;
  if constexpr (std::is_invocable_v<Message>) throw error(message(), at);
  else throw error(std::string(message), at);
}

}  // namespace clipx
