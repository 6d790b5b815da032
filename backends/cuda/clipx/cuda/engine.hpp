// What every family of verbs of cuda<T> stands on, without a CUDA header: the engine (device, stream, memory) and the arena.
// A family is one file: a class template with its verbs as members, which any C++ compiler takes, and where definitions are
// compiled (CLIPX_CUDA_DEFINITIONS: units/cuda.cu) its kernels and what launches them.
#pragma once
#include <clipx/core/backend.hpp>
#include <clipx/core/bf16.hpp>
#include <clipx/core/freeze.hpp>
#include <clipx/core/function_ref.hpp>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>

namespace clipx {

/// Which GPU is used, and how.
struct cuda_options {
  int device = 0;         // which GPU, as the driver counts
  bool tf32 = false;      // float products in TF32 (10 bits of mantissa): faster, and no longer within the float bars
  bool autotune = false;  // time cuBLASLt's best heuristics once for each shape
};

/// Why no GPU can be used here, in one sentence; empty where one can.
std::string cuda_missing();

namespace detail {

/// A device, its stream, its pool of memory and its cuBLASLt handle. Errors say what was called and where.
class cuda_engine {
 public:
  explicit cuda_engine(const cuda_options& o);
  ~cuda_engine();
  cuda_engine(const cuda_engine&) = delete;
  struct state;
  state& get() const;  // with its device chosen for the calling thread
  std::string describe() const;
  void sync();
  /// Zeroed device memory, in stream order.
  void* allocate(dim bytes);
  static void release(void* p);
  void poison(std::byte* p, dim bytes);
  arena make_arena();
  /// What body calls goes into a CUDA graph and is not run.
  std::shared_ptr<void> record(function_ref<void()> body);
  void replay(void* graph);
  /// Device memory that no verb may write until thaw(data).
  void freeze(const void* data, dim bytes);
  void thaw(const void* data);

 private:
  std::unique_ptr<state> state_;
};

/// What the families of one cuda<T> share.
struct cuda_context {
  cuda_engine engine;
  arena memory;
  std::recursive_mutex turn;  // of the thread that has a step
  explicit cuda_context(const cuda_options& o) : engine(o), memory(engine.make_arena()) {}
};
/// The base of a family.
class cuda_family {
 public:
  explicit cuda_family(cuda_context& c) : engine_(c.engine), memory_(c.memory) {}

 protected:
  cuda_engine& engine_;
  arena& memory_;
};
/// All of them.
template <class T, template <class> class... Family>
class cuda_families : public Family<T>... {
 protected:
  explicit cuda_families(cuda_context& c) : Family<T>(c)... {}
};

/// A is float and T is narrower: a verb that takes either type has an overload for A. It is a template, so that nothing of it
/// exists where T is float too; its explicit instantiation stands at the foot of the family.
template <class A, class T>
concept wider_float = std::is_same_v<A, float> && !std::is_same_v<T, float>;

}  // namespace detail
}  // namespace clipx
