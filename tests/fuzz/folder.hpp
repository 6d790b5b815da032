// A folder for targets whose readers take paths: in memory where there is room for it, and gone at the end.
#pragma once
#include <unistd.h>

#include <clipx/core/error.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

struct fuzz_folder {
  std::string path;
  fuzz_folder() {
    const std::filesystem::path memory = "/dev/shm";
    const bool there = ::access(memory.c_str(), W_OK) == 0 && !std::getenv("TMPDIR");
    path = ((there ? memory : std::filesystem::temp_directory_path()) / clipx::cat("clipx-fuzz-", ::getpid())).string();
    std::filesystem::create_directories(path);
  }
  fuzz_folder(const fuzz_folder&) = delete;
  ~fuzz_folder() { std::filesystem::remove_all(path); }
  std::string operator/(std::string_view name) const { return path + "/" + std::string(name); }
};

/// No sync and no rename: the target is the readers.
inline void put(const std::string& path, std::string_view text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fclose(file) != 0) std::abort();
}
