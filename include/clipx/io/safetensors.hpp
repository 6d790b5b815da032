// safetensors: named tensors in one file or in shards, memory-mapped;
// every rule of the format is checked before anything is read.
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

/// An open file, or all shards of a model. Reading is thread-safe.
class safetensors {
 public:
  /// Opens a .safetensors file, or model.safetensors.index.json with its shards beside it. Errors: anything that the format
  /// forbids (docs/clip.md section 7.5): a header over 100 MB, bad JSON, holes, overlaps or trailing bytes, sizes that
  /// disagree, a tensor in two shards.
  static safetensors open(const std::string& path);
  /// The same for one of several files, which may be in memory: an index finds its shards among them.
  static safetensors open(const file_set& files, const std::string& name);

  const std::vector<tensor_info>& tensors() const { return tensors_; }  // sorted by name
  /// Null if there is no such tensor.
  const tensor_info* find(std::string_view name) const;
  /// The header's __metadata__.
  const std::vector<std::pair<std::string, std::string>>& metadata() const { return metadata_; }
  const std::string& path() const { return path_; }  // as it was opened
  /// Of the mapped files: one, or the shards of an index.
  std::vector<std::string> paths() const;
  /// Returns mapped pages to the system until they are read again.
  void release(const void* begin, std::size_t bytes) const;

  /// Reads all of a single file. Errors: one that write_checked_safetensors() did not write, or that has changed since.
  void check() const;

 private:
  void add(std::span<std::byte> bytes, const std::string& name);
  void sort();
  std::string path_;
  std::vector<file_content> files_;
  std::vector<tensor_info> tensors_;  // by name
  std::vector<std::pair<std::string, std::string>> metadata_;
};

/// Converts values of any float type to float; exact except for f64. Errors: another type.
void to_float(dtype type, const std::byte* from, std::span<float> to);

/// What is known of a tensor before its values.
struct tensor_to_write {
  std::string name;         // unique in the file, UTF-8
  dtype type = dtype::f32;  // f32, f16, bf16 or f64
  std::vector<dim> shape;   // empty: a scalar
  dim count() const;        // number of elements
};
/// Writes a file as the reference writer does: header padded to 8 bytes, tensors by descending alignment, then by name.
/// `values(i, out)` fills in all of tensors[i], one tensor at a time. Errors: a repeated name, one that is not UTF-8, another
/// type, a finite value that the type cannot represent, a file that cannot be written.
void write_safetensors(const std::string& path, const std::vector<tensor_to_write>& tensors,
                       function_ref<void(std::size_t, std::span<double>)> values,
                       const std::vector<std::pair<std::string, std::string>>& metadata = {{"format", "pt"}});
/// The same with one more entry of the metadata, "checksum", over the rest of the file.
void write_checked_safetensors(const std::string& path, const std::vector<tensor_to_write>& tensors,
                               function_ref<void(std::size_t, std::span<double>)> values,
                               std::vector<std::pair<std::string, std::string>> metadata);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "safetensors-inl.hpp"
#endif
