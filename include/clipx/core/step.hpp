// step: one forward pass (and backward pass) on a device: its arena scope and what is kept for the backward pass.
#pragma once
#include <algorithm>
#include <span>
#include <vector>

#include "backend.hpp"
#include "working_memory.hpp"

namespace clipx {

/// What a forward pass keeps for the backward pass; results are bit-identical. `inputs`: the input of each block, the rest is
/// recomputed; `selective`: everything but the outputs of LayerNorm and activations; `nothing`: inference.
enum class keep { nothing, inputs, selective, everything };

/// Memory taken from a step is returned when the step ends. A step belongs to the thread that made it; steps of several threads
/// on one device have separate memory.
template <backend_types B>
class step {
 public:
  using T = scalar_t<B>;
  using A = accum_t<B>;

  /// Begins a step on the calling thread.
  explicit step(B& d, keep k = keep::nothing) requires backend<B> : device(d), kept(k), use_(d), start_(d.memory().here()) {}
  ~step() { device.memory().release(start_); }
  step(const step&) = delete;
  step& operator=(const step&) = delete;

  /// Uninitialized memory (rows, cols), until the step ends.
  mat<T> make(dim rows, dim cols) { return device.memory().template take<T>(rows, cols); }
  /// The same for statistics and sums.
  mat<A> make_accum(dim rows, dim cols) { return device.memory().template take<A>(rows, cols); }
  /// The same, filled with zeros.
  mat<T> zeros(dim rows, dim cols) {
    auto m = make(rows, cols);
    device.fill(m, T(0));
    return m;
  }
  /// Host integers in device memory, (1, n).
  mat<const std::int32_t> ids(std::span<const std::int32_t> host) {
    auto m = device.memory().template take<std::int32_t>(1, static_cast<dim>(host.size()));
    device.upload(mat<const std::int32_t>(host.data(), 1, m.cols), m);
    return m;
  }
  /// Row ranges of the given lengths; `offsets` receives count + 1 entries and must outlive the ranges.
  row_ranges ranges(std::span<const std::int32_t> lengths, std::vector<std::int32_t>& offsets) {
    offsets.assign(1, 0);
    row_ranges r;
    for (auto n : lengths) {
      offsets.push_back(offsets.back() + n);
      r.longest = std::max<dim>(r.longest, n);
    }
    r.first = ids(offsets).data;
    r.host = offsets.data();
    r.count = static_cast<dim>(lengths.size());
    return r;
  }

  B& device;  // whose verbs the step calls
  keep kept;  // what the forward pass keeps

 private:
  device_use<B> use_;
  arena::mark start_;
};

/// At the end of a scope, returns the memory that was taken in it.
template <class B>
class scratch {
 public:
  /// If not `active`, does nothing: the memory stays in use until the step ends.
  explicit scratch(step<B>& s, bool active = true) : memory_(s.device.memory()), mark_(memory_.here()), active_(active) {}
  ~scratch() {
    if (active_) memory_.release(mark_);
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;

 private:
  arena& memory_;
  arena::mark mark_;
  bool active_;
};

}  // namespace clipx
