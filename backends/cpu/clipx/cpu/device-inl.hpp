// Definitions of device.hpp, and cpu_state: oneDNN's plans and packed weights.
#pragma once
#include <omp.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <clipx/core/error.hpp>
#include <clipx/core/threads.hpp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>
#include <vector>

#include "device.hpp"
#include "elementwise.hpp"
#include "isa.hpp"
#include "onednn-inl.hpp"
#include "parallel-inl.hpp"

namespace clipx::detail {

/// Sets OpenMP's number of threads for the enclosed calls; oneDNN reads it when it makes and when it runs plans.
struct thread_limit {
  int before;
  explicit thread_limit(int n) : before(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~thread_limit() { omp_set_num_threads(before); }
};

inline mat<float> floats(std::vector<float>& v, dim rows, dim cols) {
  if (v.size() < static_cast<std::size_t>(rows * cols)) v.resize(static_cast<std::size_t>(rows * cols));
  return {v.data(), rows, cols};
}
template <class T>
mat<const T> in_view(const cpu_view& v) {
  return {static_cast<const T*>(v.data), v.rows, v.cols, v.ld};
}
template <class T>
mat<T> out_view(const cpu_view& v) {
  return {static_cast<T*>(const_cast<void*>(v.data)), v.rows, v.cols, v.ld};
}
inline dim element_size(bool is_bf16) { return is_bf16 ? 2 : 4; }
inline dnnl::memory::data_type data_type(bool is_bf16) {
  return is_bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}
inline cpu_view rows_of(cpu_view v, dim first, dim n) {
  if (!v) return v;
  v.data = static_cast<const char*>(v.data) + first * v.ld * element_size(v.is_bf16);
  v.rows = n;
  return v;
}

/// Uninitialized memory; large blocks use huge pages if the system grants them: weights are read from end to end in every product,
/// and with small pages a good part of that time would be address translation.
inline buffer<std::byte> pages(dim bytes) {
  constexpr std::size_t huge = std::size_t{2} << 20;
  const auto n = static_cast<std::size_t>(std::max<dim>(bytes, 1));
  void* p = nullptr;
  expect(::posix_memalign(&p, n >= huge ? huge : 256, n) == 0, error_kind::out_of_memory,
         [&] { return cat("cpu: out of memory for ", bytes, " bytes"); });
  if (n >= huge) ::madvise(p, n / huge * huge, MADV_HUGEPAGE);  // only advice: a refusal changes nothing
  return {static_cast<std::byte*>(p), bytes, std::free};
}

struct cpu_state {
  using md = onednn::md;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  int threads = 1, wanted = 1;  // wanted: whatever the system grants
  bool deterministic = false, native_bf16 = onednn::native_bf16();

  dnnl::memory at(const md& form, const void* data) const { return dnnl::memory(form, engine, const_cast<void*>(data)); }
  void reorder(dnnl::memory from, dnnl::memory to) {
    dnnl::stream stream(engine);  // for this call alone: oneDNN does not say that threads may share a stream
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
  }

  /// A primitive for one shape. We own its scratchpad, because oneDNN's belongs to the thread that made the plan, and any thread
  /// may run it.
  struct plan {
    dnnl::primitive run;
    md weights, scratch;
  };
  enum class plan_kind { product, conv_inference, conv_forward, conv_data, conv_weights };
  using plan_key = std::array<std::int64_t, 16>;  // the kind, then everything that the plan depends on
  std::map<plan_key, plan> plans;
  std::mutex guard;  // of `plans`

  /// The plan with this key, made if it does not exist; empty if oneDNN does not support it.
  template <class Make>
  plan plan_for(const plan_key& key, Make&& make) {
    const std::lock_guard lock(guard);
    if (const auto found = plans.find(key); found != plans.end()) return found->second;
    if (plans.size() >= 4096) plans.clear();  // there are texts of many lengths
    plan made = make();
    if (made.run) plans.emplace(key, made);
    return made;
  }
  using arguments = std::unordered_map<int, dnnl::memory>;
  void execute(const plan& p, arguments& args) {
    if (const auto bytes = p.scratch.get_size())
      args.emplace(DNNL_ARG_SCRATCHPAD, at(p.scratch, simd::scratch(static_cast<dim>((bytes + 3) / 4))));
    dnnl::stream stream(engine);
    p.run.execute(stream, args);
    stream.wait();
  }

  struct range {
    std::size_t bytes;
    release_callback release;
  };
  std::map<const char*, range> frozen;
  mutable std::mutex frozen_guard;  // of `frozen`
  const range* frozen_range(const void* data) const {
    const std::lock_guard lock(frozen_guard);
    auto i = frozen.upper_bound(static_cast<const char*>(data));
    if (i == frozen.begin()) return nullptr;
    --i;
    return static_cast<const char*>(data) < i->first + i->second.bytes ? &i->second : nullptr;
  }

  /// Frozen weights in the format that oneDNN chose; `form` is empty if the plain one is as good.
  struct pack {
    md form;
    buffer<std::byte> memory;
    dnnl::memory weights;
    std::vector<float> bias;  // of a folded BatchNorm
  };
  enum class pack_kind { product, conv, conv_bf16 };
  using pack_key = std::array<std::int64_t, 4>;
  std::map<pack_key, std::list<pack>> packs;  // per weight; several if plans require different formats
  std::mutex pack_guard;                      // of `packs`, whose elements keep their addresses until thaw()
  static pack_key key_of(const cpu_view& w, pack_kind kind) {
    return {reinterpret_cast<std::intptr_t>(w.data), w.rows, w.cols, static_cast<std::int64_t>(kind)};
  }
  /// Tells the owner of frozen weights that the original is no longer read.
  void tell_packed(const cpu_view& w) const {
    const auto* r = frozen_range(w.data);
    if (r) r->release(w.data, static_cast<std::size_t>(w.rows * w.ld * element_size(w.is_bf16)));
  }

  /// Memory of the calling thread, kept for its next call.
  struct own_memory {
    // For a processor without bf16 products: converted operands and results.
    std::vector<float> converted_a, converted_b, converted_c, converted_w;
    std::vector<float> packed_weight, part_sums, plain_sum;  // of convolutions in training
  };
  static own_memory& own() {
    thread_local own_memory memory;
    return memory;
  }
  /// v as float: v itself, or converted into `memory`.
  mat<const float> as_float(cpu_view v, std::vector<float>& memory) {
    if (!v.is_bf16) return in_view<float>(v);
    auto out = floats(memory, v.rows, v.cols);
    cpu_elementwise<bf16>(threads).copy(in_view<bf16>(v), out);
    return out;
  }
  void round(mat<const float> from, cpu_view to) { cpu_elementwise<bf16>(threads).copy(from, out_view<bf16>(to)); }

  /// Calls body() with the device's number of threads; oneDNN's errors become clipx::error.
  template <class Body>
  void guarded(Body&& body) {
    if (threads > 1) simd::expect_openmp();
    try {
      const thread_limit limit(threads);
      body();
    } catch (const dnnl::error& e) {
      if (e.status == dnnl_out_of_memory) throw std::bad_alloc();
      fail(error_kind::device, cat("oneDNN: ", e.what()));
    }
  }
};

inline std::unique_ptr<cpu_state> make_cpu_state(const cpu_options& o) {
  constexpr int most = 4096;
  expect(o.threads >= 0 && o.threads <= most, [&] { return cat("cpu: expected 0 to ", most, " threads, got ", o.threads); });
  onednn::limit_isa();
  auto s = std::make_unique<cpu_state>();
  s->wanted = o.threads > 0 ? o.threads : std::min(omp_get_max_threads(), most);
  // OpenMP ends the process where it is refused a thread, and starts new ones while old ones are still ending: it gets half.
  if (s->wanted > 1)
    s->threads = std::clamp(static_cast<int>(granted_threads(2 * static_cast<std::size_t>(s->wanted)) / 2), 1, s->wanted);
  s->deterministic = o.deterministic;
  return s;
}

CLIPX_INLINE cpu_device::cpu_device(const cpu_options& o)
    : state_(make_cpu_state(o)),
      memory_(
          this, [](void*, dim n) { return zeroed(n); },
          [](void*, std::byte* p, dim n) { std::memset(p, 0xff, static_cast<std::size_t>(n)); }) {}
CLIPX_INLINE cpu_device::~cpu_device() = default;
CLIPX_INLINE int cpu_device::threads() const { return state_->threads; }

CLIPX_INLINE buffer<std::byte> cpu_device::zeroed(dim bytes) {
  auto p = pages(bytes);
  std::memset(p.data(), 0, static_cast<std::size_t>(bytes));
  return p;
}

CLIPX_INLINE std::string cpu_device::describe() const {
  const auto* v = dnnl_version();
  return cat("oneDNN ", v->major, ".", v->minor, ".", v->patch, " with ", onednn::name_of(dnnl::get_effective_cpu_isa()),
             "; kernels for ", simd::instruction_set(), "; bf16 ", state_->native_bf16 ? "native" : "widened to float", "; ",
             state_->threads, state_->threads == 1 ? " thread" : " threads", state_->deterministic ? ", deterministic" : "",
             simd::most_isa() == simd::isa::any ? "" : "; limited by CLIPX_MAX_ISA");
}

CLIPX_INLINE std::vector<std::string> cpu_device::warnings(bool bf16) const {
  std::vector<std::string> out;
  if (state_->threads < state_->wanted)
    out.push_back(cat("cpu: the system grants fewer threads: ", state_->threads, " of ", state_->wanted, " are used"));
  if (bf16 && !state_->native_bf16)
    out.push_back("cpu: this processor has no bf16 instructions: bf16 weights are widened to float in every product");
  return out;
}

CLIPX_INLINE void cpu_device::freeze_bytes(const void* data, std::size_t bytes, release_callback release) {
  const std::lock_guard lock(state_->frozen_guard);
  state_->frozen[static_cast<const char*>(data)] = {.bytes = bytes, .release = release};
}
CLIPX_INLINE void cpu_device::thaw(const void* data) {
  const std::scoped_lock lock(state_->frozen_guard, state_->pack_guard);
  const auto found = state_->frozen.find(static_cast<const char*>(data));
  if (found == state_->frozen.end()) return;
  const auto low = reinterpret_cast<std::intptr_t>(data), high = low + static_cast<std::intptr_t>(found->second.bytes);
  std::erase_if(state_->packs, [&](auto& p) { return p.first[0] >= low && p.first[0] < high; });
  state_->frozen.erase(found);
}

}  // namespace clipx::detail
