// What a measurement says of the machine and of its own process.
#pragma once
#include <string>

#include "../core/mat.hpp"

namespace clipx {

/// The processor's name, and those of its instruction sets that matter here, as Linux names them, with a space between. Empty where
/// the system does not say.
std::string cpu_name();
/// Instruction sets of the processor, as said above.
std::string cpu_flags();

/// The largest resident memory that this process has had, in bytes.
dim peak_memory();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "machine-inl.hpp"
#endif
