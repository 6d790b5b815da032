// The machine that kernels run on where there is no device. Blocks run one after another, the last first where threads run
// backward; a block's threads are fibers, which run in the order that emulation::threads names until they meet a barrier: the whole
// block's (__syncthreads), or their warp's (shuffles and votes). Shared memory holds NaN (all bits set) when a block starts. A
// barrier that not all threads reach fails the launch.
#pragma once
#include <algorithm>
#include <array>
#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define CLIPX_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CLIPX_EMULATION_ASAN 1
#endif
#endif
#ifdef CLIPX_EMULATION_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace emulation {

enum class order { forward, backward, shuffled };
inline order threads = order::forward;  // of the launches from now on

class fiber_machine {
 public:
  /// Every block of the grid; false where a launch fails, and failure() says why.
  template <class F>
  bool run(dim3 grid, dim3 block, std::size_t shared_bytes, F& body) {
    body_ = &body;
    call_ = [](void* f) { (*static_cast<F*>(f))(); };
    gridDim = grid;
    blockDim = block;
    const std::size_t n = std::size_t{block.x} * block.y * block.z;
    state_.assign(n, thread_state{});
    warps_.resize((n + 31) / 32);
    order_.resize(n);
    dynamic_.reset(new std::byte[shared_bytes]);  // of this size and no more, for the address sanitizer
    failure_.clear();
    const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
    for (std::size_t i = 0; i < blocks; ++i) {
      const auto at = threads == order::backward ? blocks - 1 - i : i, row = at / grid.x;
      here_ = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(row % grid.y), static_cast<unsigned>(row / grid.y)};
      if (shared_bytes) std::memset(dynamic_.get(), 0xff, shared_bytes);
      if (!run_block()) return false;
    }
    return true;
  }
  const char* failure() const { return failure_.c_str(); }

  void block_barrier() { wait(status::at_block); }
  /// v of the lane that source(own lane) names.
  template <class V, class F>
  V exchange(unsigned mask, V v, F&& source) {
    static_assert(sizeof(V) <= 8);
    return everyone(mask, v)(source(static_cast<unsigned>(current_ % 32)));
  }
  /// What each lane brings, by lane; until the caller's next meeting.
  template <class V>
  auto everyone(unsigned mask, V v) {
    static_assert(sizeof(V) <= sizeof(lanes::value_type) && std::is_trivially_copyable_v<V>);
    return [&values = meet(mask, &v, sizeof v)](unsigned lane) {
      V theirs;
      std::memcpy(&theirs, &values[lane], sizeof theirs);
      return theirs;
    };
  }
  unsigned vote(unsigned mask, bool v) {
    const auto& values = meet(mask, &v, sizeof v);
    unsigned out = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      bool yes;
      std::memcpy(&yes, &values[lane], sizeof yes);
      out |= unsigned{yes} << lane;
    }
    return out;
  }
  void* dynamic_shared() { return dynamic_.get(); }
  std::uint64_t block_serial() const { return serial_; }
  std::map<const void*, std::size_t> more_shared;  // kernels that may have more than 48 KiB

 private:
  using context = boost::context::detail::fcontext_t;
  using lanes = std::array<std::array<std::uint64_t, 3>, 32>;
  enum class status : char { unstarted, runnable, at_block, at_warp, done, stuck };
  struct fiber {
    std::unique_ptr<std::byte[]> stack{new std::byte[stack_bytes]};
    context at = nullptr;
  };
  struct thread_state {
    status now = status::unstarted;
    unsigned met = 0;  // meetings of its warp so far
    fiber* on = nullptr;
  };
  struct warp_state {
    std::array<lanes, 2> values;  // of even and odd meetings: a lane is at most one meeting ahead
  };
#ifdef CLIPX_EMULATION_ASAN
  static constexpr std::size_t stack_bytes = 256 * 1024;
#else
  static constexpr std::size_t stack_bytes = 64 * 1024;
#endif

  const lanes& meet(unsigned mask, const void* v, std::size_t bytes) {
    if (mask != 0xffffffffu) stop("a warp's operation without all lanes in its mask");
    auto& values = warps_[current_ / 32].values[state_[current_].met++ % 2];
    std::memcpy(&values[current_ % 32], v, bytes);
    wait(status::at_warp);
    return values;
  }
  void stop(const char* why) {
    failure_ = why;
    wait(status::stuck);
  }

  bool run_block() {
    ++serial_;
    blockIdx = here_;
    for (auto& t : state_) t = {};
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (threads == order::backward) std::reverse(order_.begin(), order_.end());
    if (threads == order::shuffled) std::shuffle(order_.begin(), order_.end(), std::mt19937(static_cast<unsigned>(serial_)));
    do {
      for (cursor_ = 0; cursor_ < order_.size() && failure_.empty();) {
        auto& t = state_[order_[cursor_]];
        if (t.now == status::unstarted) enter(idle());
        else if (current_ = order_[cursor_++]; t.now == status::runnable) enter(*t.on);
      }
    } while (failure_.empty() && release());
    if (failure_.empty()) return true;
    fibers_.clear();  // with whatever still stands on them
    idle_.clear();
    return false;
  }
  /// Lets those go on that have all met; false when no thread is left, or none can go on.
  bool release() {
    bool any = false, all_done = true, all_at_block = true;
    const auto is = [&](std::size_t from, std::size_t to, status s) {
      return std::all_of(state_.begin() + static_cast<std::ptrdiff_t>(from), state_.begin() + static_cast<std::ptrdiff_t>(to),
                         [&](auto& t) { return t.now == s; });
    };
    const auto go = [&](std::size_t from, std::size_t to) {
      for (auto i = from; i < to; ++i) state_[i].now = status::runnable;
      any = true;
    };
    const std::size_t n = state_.size();
    for (std::size_t w = 0; w < n; w += 32) {
      const auto end = std::min(w + 32, n);
      all_done = all_done && is(w, end, status::done);
      all_at_block = all_at_block && is(w, end, status::at_block);
      if (end - w == 32 && is(w, end, status::at_warp)) go(w, end);
    }
    if (all_at_block) go(0, n);
    if (!any && !all_done) failure_ = "some threads wait at a barrier that the others do not reach";
    return any;
  }

  fiber& idle() {
    if (idle_.empty()) {
      auto& f = *fibers_.emplace_back(std::make_unique<fiber>());
      f.at = boost::context::detail::make_fcontext(f.stack.get() + stack_bytes, stack_bytes, &fiber_machine::start);
      return f;
    }
    auto* f = idle_.back();
    idle_.pop_back();
    return *f;
  }
  /// From the scheduler into a fiber, until it waits or has nothing to do.
  void enter(fiber& f) {
    running_ = &f;
#ifdef CLIPX_EMULATION_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, f.stack.get(), stack_bytes);
#endif
    f.at = boost::context::detail::jump_fcontext(f.at, this).fctx;
#ifdef CLIPX_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  }
  void leave() {
#ifdef CLIPX_EMULATION_ASAN
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, main_stack_, main_bytes_);
#endif
    main_ = boost::context::detail::jump_fcontext(main_, nullptr).fctx;
#ifdef CLIPX_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(fake, &main_stack_, &main_bytes_);
#endif
  }
  void wait(status s) {
    const auto me = current_;
    state_[me].now = s;
    state_[me].on = running_;
    leave();
    become(me);
  }
  void become(std::size_t t) {
    current_ = t;
    threadIdx.x = static_cast<unsigned>(t % blockDim.x);
    threadIdx.y = static_cast<unsigned>(t / blockDim.x % blockDim.y);
    threadIdx.z = static_cast<unsigned>(t / blockDim.x / blockDim.y);
  }
  static void start(boost::context::detail::transfer_t from) {
    auto& m = *static_cast<fiber_machine*>(from.data);
    m.main_ = from.fctx;
#ifdef CLIPX_EMULATION_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &m.main_stack_, &m.main_bytes_);
#endif
    m.work();
  }
  /// Threads one after another on this fiber, as long as none of them waits: most kernels never change fibers.
  void work() {
    for (;;) {
      for (; cursor_ < order_.size() && state_[order_[cursor_]].now == status::unstarted;) {
        become(order_[cursor_++]);
        call_(body_);
        state_[current_].now = status::done;
      }
      idle_.push_back(running_);
      leave();
    }
  }

  void* body_ = nullptr;
  void (*call_)(void*) = nullptr;
  uint3 here_;
  std::uint64_t serial_ = 0;
  std::vector<thread_state> state_;
  std::vector<warp_state> warps_;
  std::vector<std::size_t> order_;
  std::size_t cursor_ = 0, current_ = 0;
  std::unique_ptr<std::byte[]> dynamic_;
  std::string failure_;
  std::vector<std::unique_ptr<fiber>> fibers_;
  std::vector<fiber*> idle_;
  fiber* running_ = nullptr;
  context main_ = nullptr;
  [[maybe_unused]] const void* main_stack_ = nullptr;
  [[maybe_unused]] std::size_t main_bytes_ = 0;
};

inline fiber_machine& machine() {
  static fiber_machine m;
  return m;
}

/// One static shared variable: memory of its size and no more, all bits set when a block first names it.
template <class E, class Tag>
E& shared(Tag) {
  static_assert(std::is_trivially_copyable_v<E> && std::is_trivially_default_constructible_v<E>);
  static const std::unique_ptr<std::byte[]> memory{new std::byte[sizeof(E)]};
  static std::uint64_t filled = 0;  // the block that it was filled for
  if (filled != machine().block_serial()) {
    std::memset(memory.get(), 0xff, sizeof(E));
    filled = machine().block_serial();
  }
  return *reinterpret_cast<E*>(memory.get());
}
inline void* dynamic_shared() { return machine().dynamic_shared(); }

}  // namespace emulation
