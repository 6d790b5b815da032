// safetensors: the format that clipx writes; every rule of it is checked before anything is read.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "tensor_file.hpp"

namespace clipx {

/// A tensor_file that is of this format alone.
class safetensors : public tensor_file {
 public:
  /// Opens a .safetensors file, or model.safetensors.index.json with its shards beside it. Errors: anything that the format
  /// forbids (docs/clip.md section 7.5): a header over 100 MB, bad JSON, holes, overlaps or trailing bytes, sizes that
  /// disagree, a tensor in two shards.
  static safetensors open(const std::string& path);
  /// The same for one of several files, which may be in memory: an index finds its shards among them.
  static safetensors open(const file_set& files, const std::string& name);

  /// Reads all of a single file. Errors: one that write_checked_safetensors() did not write, or that has changed since.
  void check() const;
};

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
