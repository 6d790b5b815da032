// Debug checks are decided at run time, for the whole program: inline code must be the same in units with and without NDEBUG,
// because the linker keeps one definition of each function. This is the only header that asks for NDEBUG.
#pragma once
#include <atomic>

namespace clipx::detail {

inline std::atomic<bool> debug_checks{false};

/// Whether a unit of the program was compiled without NDEBUG: then released memory is poisoned, and writes to frozen weights throw.
inline bool checks_enabled() { return debug_checks.load(std::memory_order_relaxed); }

#ifndef NDEBUG
/// Internal to each debug unit, and named by no function.
[[maybe_unused]] static const bool this_unit_enables_checks = (debug_checks.store(true, std::memory_order_relaxed), true);
#endif

}  // namespace clipx::detail
