// file_set: the files of one model by their names, in a folder or in memory.
#pragma once
#include <memory>

#include "file.hpp"

namespace clipx {

/// A file in memory: embedded in a program, decrypted, an asset of an application. Without an owner the bytes are borrowed, and
/// must live as long as whatever was made from them. They are never written to.
struct named_bytes {
  std::string name;                     // as it would be in a folder
  std::span<const std::byte> bytes;     // the whole file
  std::shared_ptr<const void> owner{};  // keeps the bytes alive
};

/// The bytes of a file while it is open: mapped, or in memory.
struct file_content {
  std::span<std::byte> bytes;           // of memory: not to be written
  mapped_file file{};                   // empty for memory
  std::shared_ptr<const void> owner{};  // of memory
};

/// The files of one model by their names, in a folder or in memory. Copies share the memory.
class file_set {
 public:
  /// The files of a folder on disk. They are looked for when they are asked for.
  static file_set folder(std::string path);
  /// Errors: two files of one name.
  static file_set memory(std::vector<named_bytes> files);

  bool has(std::string_view name) const;  // whether there is a file of that name
  /// The names of all regular files, sorted.
  std::vector<std::string> names() const;
  /// How messages name a file: its path, or in memory its name.
  std::string path(std::string_view name) const;
  /// Errors: no such file, one that cannot be read.
  file_content open(std::string_view name) const;
  /// A whole file. Errors as above; more than `limit` bytes.
  std::string text(std::string_view name, std::size_t limit = std::size_t(64) << 20) const;
  /// Null where the files are in memory.
  const std::string* folder_path() const { return in_memory_ ? nullptr : &folder_; }

 private:
  const named_bytes* find(std::string_view name) const;
  std::string folder_;
  bool in_memory_ = false;
  std::vector<named_bytes> files_;  // in memory, by name
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "file_set-inl.hpp"
#endif
