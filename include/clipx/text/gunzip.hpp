// Reads a file, and unpacks it where it is gzip; wraps a text as gzip.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// The whole file; an error names the path and the reason. At most `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t(64) << 20);
bool file_exists(const std::string& path);

/// The text inside one gzip member (RFC 1952), its length and CRC-32 checked; anything that does not start as gzip comes back as
/// it is. `name` is for messages. At most `limit` bytes come out.
std::string gunzip(std::string_view bytes, const std::string& name, std::size_t limit = std::size_t(64) << 20);

/// A gzip member that holds the text as it is (stored blocks): for readers that take nothing else.
std::string gzip_stored(std::string_view text);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "gunzip-inl.hpp"
#endif
