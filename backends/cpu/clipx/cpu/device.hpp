// cpu_device: what all verbs of cpu<T> use: oneDNN's engine and plans, the number of threads, the arena of host memory.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/freeze.hpp>
#include <clipx/core/working_memory.hpp>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace clipx {

/// How a device uses its processor.
struct cpu_options {
  int threads = 0;  // to 4096, or to what the system grants; 0: OpenMP's default (all processors, or OMP_NUM_THREADS)
  /// The embedding of an image or text has the same bits alone, in any batch, and with any number of threads; so do the weights
  /// that training gives, with any number of threads. Slower: products are computed in blocks of 48 rows and convolutions one
  /// image at a time, each by one thread.
  bool deterministic = false;
};

namespace detail {

/// A matrix operand of either type.
struct cpu_view {
  const void* data = nullptr;
  dim rows = 0, cols = 0, ld = 0;
  bool is_bf16 = false;
  cpu_view() = default;
  template <class E>
  cpu_view(mat<E> m) : data(m.data), rows(m.rows), cols(m.cols), ld(m.ld), is_bf16(std::is_same_v<std::remove_const_t<E>, bf16>) {}
  explicit operator bool() const { return data != nullptr; }
};

/// oneDNN's state: plans are made once per shape and kept. The families products and convolution are built on it.
struct cpu_state;

class cpu_device {
 public:
  explicit cpu_device(const cpu_options& o);
  ~cpu_device();
  cpu_device(cpu_device&&) = delete;

  /// What is in use: instruction sets, oneDNN's version, threads.
  std::string describe() const;
  int threads() const;
  /// What makes models, or those in bf16, slow on this processor or system.
  std::vector<std::string> warnings(bool bf16) const;
  /// A frozen weight must not change until thaw(): matrices and filters are packed for oneDNN on first use, and `release` is called
  /// once the original is no longer read.
  template <class E>
  void freeze(mat<const E> weight, frozen_role, release_callback release = {}) {
    freeze_bytes(weight.data, static_cast<std::size_t>(byte_extent(weight)), release);
  }
  void thaw(const void* data);

  void enter() { memory_.enter(); }
  void leave() { memory_.leave(); }
  arena& memory() { return memory_.mine(); }
  void sync() {}
  template <class E>
  buffer<E> alloc(dim n) {
    auto bytes = zeroed(n * static_cast<dim>(sizeof(E)));
    return {reinterpret_cast<E*>(bytes.release()), n, std::free};
  }

  cpu_state& state() { return *state_; }

 private:
  void freeze_bytes(const void* data, std::size_t bytes, release_callback release);
  static buffer<std::byte> zeroed(dim bytes);
  std::unique_ptr<cpu_state> state_;
  working_memory memory_;
};

}  // namespace detail
}  // namespace clipx
