// What several unit tests need: a folder that goes away, the message of an error, a file's bytes.
#pragma once
#include <unistd.h>

#include <clipx/core/error.hpp>
#include <clipx/io/file.hpp>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

template <class Call>
std::string message(const Call& call) {
  try {
    call();
  } catch (const clipx::error& e) { return e.what(); }
  return "no error";
}

/// A folder that goes away with the test; in memory where there is room, because files that clipx writes are synced to the disk.
struct temporary_folder {
  std::filesystem::path path;
  static std::filesystem::path place() {
    const char* memory = "/dev/shm";
    std::error_code none;
    const auto space = std::filesystem::space(memory, none);
    const bool roomy = !none && space.available >= std::uintmax_t{2} << 30 && ::access(memory, W_OK) == 0;
    return roomy && !std::getenv("TMPDIR") ? memory : std::filesystem::temp_directory_path();
  }
  temporary_folder() {
    std::string name = (place() / "clipx_test_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
    path = name;
  }
  temporary_folder(const temporary_folder&) = delete;
  ~temporary_folder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(path), std::filesystem::directory_iterator{}));
  }
};

inline std::string contents(const std::string& path) {
  const auto file = clipx::mapped_file::open(path);
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}
