// Debug checks are decided at run time, for the whole program: inline code must be the same in units with and without NDEBUG,
// because the linker keeps one definition of each function. This is the only header that asks for NDEBUG.
#pragma once

namespace clipx::detail {

inline bool debug_checks = false;  // read and written by the two functions below alone

/// Whether a unit of the program was compiled without NDEBUG: then released memory is poisoned, and writes to frozen weights throw.
/// (<atomic> would cost every user 9 MB of the compiler's memory.)
inline bool checks_enabled() { return __atomic_load_n(&debug_checks, __ATOMIC_RELAXED); }
/// For all threads; returns true.
inline bool enable_checks(bool on = true) {
  __atomic_store_n(&debug_checks, on, __ATOMIC_RELAXED);
  return true;
}

#ifndef NDEBUG
/// Internal to each debug unit, and named by no function.
[[maybe_unused]] static const bool this_unit_enables_checks = enable_checks();
#endif

}  // namespace clipx::detail
