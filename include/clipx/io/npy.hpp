// .npy arrays: written as float32; any common number type is read as float.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "../core/error.hpp"
#include "../core/mat.hpp"

namespace clipx {

/// An array in memory.
struct npy_array {
  std::vector<dim> shape;     // sizes of its axes; empty: one value
  std::vector<float> values;  // C order
};

/// Writes float32 in C order, version 1.0, completely or not at all. Errors: sizes that disagree.
void write_npy(const std::string& path, std::span<const float> values, const std::vector<dim>& shape);

/// Reads f4, f8, i4, i8 or u1 in C order, versions 1 to 3. Errors: a header whose sizes are wrong, Fortran order, other types.
npy_array read_npy(const std::string& path);
/// The same from memory; `name` is used in errors.
npy_array parse_npy(std::span<const std::byte> bytes, const std::string& name);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "npy-inl.hpp"
#endif
