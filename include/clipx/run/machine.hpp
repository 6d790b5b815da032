// What a measurement reports about the machine and its own process.
#pragma once
#include <string>

#include "../core/mat.hpp"

namespace clipx {

/// The processor's name, and the instruction sets that matter here, with Linux's names, separated by spaces. Empty if the system
/// does not report them.
std::string cpu_name();
/// Instruction sets of the processor, as said above.
std::string cpu_flags();

/// Peak resident memory of this process, in bytes.
dim peak_memory();

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "machine-inl.hpp"
#endif
