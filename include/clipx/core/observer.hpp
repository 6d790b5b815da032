// observer: how a long call reports to its caller, and how the caller ends it.
#pragma once
#include <cstddef>
#include <string>

#include "error.hpp"

namespace clipx {

/// Passed to calls that may take long. Override what you need; an object of the class itself hears nothing and never cancels. The
/// functions are called by one thread at a time: the caller's, or in calls that say so one of their own. What they throw ends the
/// call and passes through it.
class observer {
 public:
  virtual ~observer() = default;
  /// `done` of `total` items (texts, images, shards) of a stage are complete; total 0: not known. `stage` names the items. The
  /// first call of a stage says what is done at its start: 0, or what an earlier run did.
  virtual void progress(const std::string& /*stage*/, std::size_t /*done*/, std::size_t /*total*/) {}
  /// Asked between items, or between batches of them. True ends the call: it throws error_kind::cancelled, unless all items are
  /// complete or its documentation says otherwise.
  virtual bool cancelled() { return false; }
  /// Something that is worth knowing and is no error: a slow path, a setting that has no effect.
  virtual void warning(const std::string& /*message*/) {}
};

/// The default argument: one object of the class itself, shared by all.
observer& no_observer();

/// Reports progress, then throws error_kind::cancelled if the observer says so and items are left.
void report(observer& to, const std::string& stage, std::size_t done, std::size_t total);

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "observer-inl.hpp"
#endif
