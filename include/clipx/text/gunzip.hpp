// Reads files; compresses and decompresses gzip with zlib.
#pragma once
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>

#include "../core/error.hpp"

namespace clipx::detail {

/// The whole file, of at most `limit` bytes. Errors name the path and the reason.
std::string read_file(const std::string& path, std::size_t limit = std::size_t(64) << 20);
/// The rest of an open file.
std::string read_file(std::FILE* file, const std::string& name, std::size_t limit = std::size_t(64) << 20);
bool file_exists(const std::string& path);

/// The decompressed text of a gzip file (RFC 1952), of all its members; bytes that do not start as gzip are returned unchanged.
/// `name` is for messages. Errors: damaged or truncated data, a wrong checksum, other data after the last member,
/// more than `limit` bytes.
std::string gunzip(std::string_view bytes, const std::string& name, std::size_t limit = std::size_t(64) << 20);

/// The text as a gzip file with one member, without a name or a time; at most 4 GiB.
std::string gzip(std::string_view text);

}  // namespace clipx::detail

#ifndef CLIPX_COMPILED
#include "gunzip-inl.hpp"
#endif
