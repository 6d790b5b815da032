// .npy arrays: float32 written, any common number type read as float.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "../core/mat.hpp"

namespace clipx {

/// An array in memory.
struct npy_array {
  std::vector<dim> shape;     // sizes of its axes; empty: one value
  std::vector<float> values;  // C order
};

/// float32, C order, version 1.0, written whole or not at all. Error: sizes that disagree.
void write_npy(const std::string& path, std::span<const float> values, const std::vector<dim>& shape);

/// f4, f8, i4, i8 or u1, C order, versions 1 to 3. Errors: a header that lies about sizes, Fortran order, other types.
npy_array read_npy(const std::string& path);
/// The same from memory; `name` is used in errors.
npy_array parse_npy(std::span<const std::byte> bytes, const std::string& name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "npy-inl.hpp"
#endif
