// per_thread: what each thread that has a step on a device works with; working_memory: its arena.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.hpp"

namespace clipx {

/// One T for each thread that has a step on a device: a thread holds it from its first enter() to its last leave(); then another
/// thread may have it. So there are as many as threads had steps at the same time. All functions may be called from any thread.
template <class T>
class per_thread {
 public:
  /// Makes the T of a thread; gets the owner.
  using maker = std::unique_ptr<T> (*)(void* owner);
  /// `owner` is handed to `make`.
  per_thread(void* owner, maker make) : owner_(owner), make_(make) {}
  per_thread(const per_thread&) = delete;

  /// A step begins or ends on the calling thread; steps of one thread nest.
  void enter() {
    const std::lock_guard lock(guard_);
    auto* own = find(this_thread());
    if (!own) own = find(nullptr);
    if (!own) own = &add();
    own->thread = this_thread();
    ++own->steps;
    last() = {id_, own->value.get()};
  }
  /// Ends the innermost step of the calling thread.
  void leave() {
    const std::lock_guard lock(guard_);
    auto* own = find(this_thread());
    if (!own || --own->steps > 0) return;
    own->thread = nullptr;
    if (last().of == id_) last() = {};
  }
  /// The calling thread's arena; outside its steps, the one that its next step would take.
  T& mine() {
    if (last().of == id_) return *static_cast<T*>(last().value);
    const std::lock_guard lock(guard_);
    if (auto* own = find(this_thread())) return *own->value;
    if (auto* next = find(nullptr)) return *next->value;
    return *add().value;
  }
  /// Calls f with each, which no thread must be using.
  template <class F>
  void each(F&& f) {
    for (auto& p : places_) f(*p.value);
  }

 private:
  struct place {
    std::unique_ptr<T> value = {};
    const void* thread = nullptr;  // the thread that holds it
    int steps = 0;
  };
  /// What the calling thread entered last, so that it need not be looked up.
  struct shortcut {
    std::uint64_t of = 0;  // id_
    void* value = nullptr;
  };
  static shortcut& last() {
    thread_local shortcut here;
    return here;
  }
  static const void* this_thread() { return &last(); }
  static std::uint64_t next_id() {
    static std::atomic<std::uint64_t> ids{0};
    return ++ids;
  }
  place* find(const void* thread) {
    const auto at = std::find_if(places_.begin(), places_.end(), [&](const place& p) { return p.thread == thread; });
    return at == places_.end() ? nullptr : &*at;
  }
  place& add() { return places_.emplace_back(place{make_(owner_)}); }

  void* owner_;
  maker make_;
  std::uint64_t id_ = next_id();
  std::mutex guard_;
  std::vector<place> places_;
};

/// An arena for each thread.
class working_memory : public per_thread<arena> {
 public:
  /// `device` is handed to both functions, which arenas call; see arena.
  working_memory(void* device, arena::source allocate, arena::poison fill)
      : per_thread(this,
                   [](void* self) {
                     const auto& m = *static_cast<working_memory*>(self);
                     return std::make_unique<arena>(m.device_, m.allocate_, m.fill_);
                   }),
        device_(device),
        allocate_(allocate),
        fill_(fill) {}

 private:
  void* device_;
  arena::source allocate_;
  arena::poison fill_;
};

/// While this object lives, the calling thread uses the device.
template <class B>
class device_use {
 public:
  explicit device_use(B& d) : device_(d) { d.enter(); }  // calls enter(), and leave() at the end
  ~device_use() { device_.leave(); }
  device_use(const device_use&) = delete;
  device_use& operator=(const device_use&) = delete;

 private:
  B& device_;
};

}  // namespace clipx
