// clipx::error, the only exception type, and the helpers that raise it.
#pragma once
#include <charconv>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

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
  const char* file = "";
  int line = 0;
  static where here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) { return {f, l}; }
};

/// What a caller can get wrong: files, shapes, devices. what() names the file or tensor, what was expected and what was found.
class error : public std::runtime_error {
 public:
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

[[noreturn]] inline void fail(const std::string& message, where at = where::here()) { throw error(message, at); }

/// Throws clipx::error(message()) unless ok; the message is built only on failure.
template <class Message>
void expect(bool ok, Message&& message, where at = where::here()) {
  if (ok) return;
  if constexpr (std::is_invocable_v<Message>) throw error(message(), at);
  else throw error(std::string(message), at);
}

}  // namespace clipx
