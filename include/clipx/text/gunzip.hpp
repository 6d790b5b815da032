// Reads a file; decompresses and compresses gzip, by zlib.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// The whole file; an error names the path and the reason. At most `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t(64) << 20);
bool file_exists(const std::string& path);

/// The text of a gzip file (RFC 1952), of all its members; anything that does not start as gzip comes back as it is. `name` is for
/// messages. Errors: damaged or truncated data, a wrong checksum, other data after the last member, more than `limit` bytes.
std::string gunzip(std::string_view bytes, const std::string& name, std::size_t limit = std::size_t(64) << 20);

/// The text as a gzip file of one member, without a name or a time: up to 4 GiB.
std::string gzip(std::string_view text);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "gunzip-inl.hpp"
#endif
