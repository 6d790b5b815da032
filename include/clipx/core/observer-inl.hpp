#pragma once
#include "observer.hpp"

namespace clipx {

CLIPX_INLINE observer& no_observer() {
  static observer none;
  return none;
}

CLIPX_INLINE void report(observer& to, const std::string& stage, std::size_t done, std::size_t total) {
  to.progress(stage, done, total);
  expect(!to.cancelled() || (total > 0 && done >= total), error_kind::cancelled, [&] {
    return total ? cat("cancelled after ", done, " of ", total, " ", stage) : cat("cancelled after ", done, " ", stage);
  });
}

}  // namespace clipx
