// What every family of verbs of cuda<T> needs, without a CUDA header: the engine (device, stream, memory) and the arena. A family
// is one file: a class template with its verbs as members, which any C++ compiler reads, and, where definitions are compiled
// (CLIPX_CUDA_DEFINITIONS: units/cuda.cu), its kernels and the code that launches them.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/freeze.hpp>
#include <clipx/core/function_ref.hpp>
#include <memory>
#include <string>
#include <type_traits>

namespace clipx {

/// Which GPU is used, and how.
struct cuda_options {
  int device = 0;         // index of the GPU, as counted by the driver
  bool tf32 = false;      // float products in TF32 (10 bits of mantissa): faster, but outside the tolerances for float
  bool autotune = false;  // times cuBLASLt's best heuristics once for each shape
};

/// Why no GPU can be used here, in one sentence; empty if one can.
std::string cuda_missing();

namespace detail {

/// A device, its pool of memory, and a lane for each thread that has a step on it: a stream, a cuBLASLt handle, staging memory and
/// an arena. What one thread's lane leaves for another's must be waited for (sync). Errors say what was called and where.
class cuda_engine {
 public:
  explicit cuda_engine(const cuda_options& o);
  ~cuda_engine();
  cuda_engine(const cuda_engine&) = delete;
  struct lane;
  lane& get() const;  // the calling thread's, with the device chosen for it
  void enter();
  void leave();
  arena& memory() const;
  std::string describe() const;
  /// Waits for the calling thread's lane.
  void sync();
  /// Zeroed device memory, in stream order.
  void* allocate(dim bytes);
  static void release(void* p);
  arena make_arena();
  /// Records the calls of body in a CUDA graph; they are not run.
  std::shared_ptr<void> record(function_ref<void()> body);
  void replay(void* graph);
  /// Marks device memory that no verb may write until thaw(data).
  void freeze(const void* data, dim bytes);
  void thaw(const void* data);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// What the families of one cuda<T> share.
struct cuda_context {
  cuda_engine engine;
  explicit cuda_context(const cuda_options& o) : engine(o) {}
};
/// The base of a family.
class cuda_family {
 public:
  explicit cuda_family(cuda_context& c) : engine_(c.engine) {}

 protected:
  arena& memory() const { return engine_.memory(); }
  cuda_engine& engine_;
};
/// All families.
template <class T, template <class> class... Family>
class cuda_families : public Family<T>... {
 protected:
  explicit cuda_families(cuda_context& c) : Family<T>(c)... {}
};

/// A is float and T is narrower: a verb that takes either type has an overload for A. It is a template, so it does not exist if T
/// is float; its explicit instantiation is at the end of the family.
template <class A, class T>
concept wider_float = std::is_same_v<A, float> && !std::is_same_v<T, float>;

}  // namespace detail
}  // namespace clipx
