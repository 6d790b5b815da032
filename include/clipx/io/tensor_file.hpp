// tensor_file: named tensors in one file or in shards, memory-mapped: safetensors, or what PyTorch saves.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/mat.hpp"
#include "file_set.hpp"

namespace clipx {

/// The element types of weights, and the others that a file may contain.
enum class dtype {
  f64,
  f32,
  f16,
  bf16,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean,
  c64,
  f8_e4m3,
  f8_e5m2,
  f8_e8m0,
  f8_e4m3fnuz,
  f8_e5m2fnuz,
  f6_e2m3,
  f6_e3m2,
  f4,
  other
};
/// Bits of one value.
dim bits_of(dtype type);
/// Bytes of one value; 0: less than one.
dim size_of(dtype type);
/// The name in a file's header, "BF16" for example.
std::string_view name_of(dtype type);

/// A tensor of an open file.
struct tensor_info {
  std::string name;           // as in the file
  dtype type = dtype::other;  // of its elements
  std::vector<dim> shape;     // empty: a scalar
  std::byte* data = nullptr;  // inside the mapping or the memory, not necessarily aligned
  std::size_t bytes = 0;      // size of the data
  /// Number of elements.
  dim count() const {
    dim n = 1;
    for (dim d : shape) n *= d;
    return n;
  }
};

/// Which of the forms of a file that tensor_file reads.
enum class tensor_format {
  safetensors,
  torch,       // an archive of torch.save
  torchscript  // an archive of torch.jit.save
};

/// An open file, or all shards of a model. What a file is follows from its first bytes, not from its name. Reading is thread-safe.
class tensor_file {
 public:
  /// Opens a .safetensors file, or an archive of PyTorch (.pt, .pth, .bin) without executing anything that it holds
  /// (docs/clip.md section 7.4), or an index of either (model.safetensors.index.json, pytorch_model.bin.index.json) with its shards
  /// beside it. Errors: anything that the formats forbid, a pickle that names a function which is no part of a tensor, archives of
  /// PyTorch before 1.6, a tensor in two shards.
  static tensor_file open(const std::string& path);
  /// The same for one of several files, which may be in memory: an index finds its shards among them.
  static tensor_file open(const file_set& files, const std::string& name);

  const std::vector<tensor_info>& tensors() const { return tensors_; }  // sorted by name
  /// Null if there is no such tensor.
  const tensor_info* find(std::string_view name) const;
  /// The __metadata__ of safetensors' header.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }  // as it was opened
  tensor_format format() const { return format_; }   // of the last shard
  /// Of the mapped files: one, or the shards of an index.
  std::vector<std::string> paths() const;
  /// Returns mapped pages to the system until they are read again.
  void release(const void* begin, std::size_t bytes) const;

 private:
  friend class safetensors;
  tensor_file() = default;
  void load(const file_set& files, const std::string& name, bool torch_too);
  void add_safetensors(std::span<std::byte> bytes, const std::string& name);
  void add_torch(const file_content& file, const std::string& name);
  void sort();
  std::string path_;
  std::vector<file_content> files_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;  // of tensors whose values are in another order in the file
  std::vector<tensor_info> tensors_;                  // by name
  std::vector<std::pair<std::string, std::string>> metadata_;
  tensor_format format_ = tensor_format::safetensors;
};

/// Converts values of any float type to float; exact except for f64. Errors: another type.
void to_float(dtype type, const std::byte* from, std::span<float> to);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "tensor_file-inl.hpp"
#endif
