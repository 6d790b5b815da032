// working_memory: an arena for each thread that has a step on the device.
#pragma once
#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.hpp"

namespace clipx {

/// A thread holds an arena from its first enter() to its last leave(); then another thread may have it. So there are as many arenas
/// as threads had steps at the same time. All functions may be called from any thread.
class working_memory {
 public:
  /// `device` is handed to both functions, which arenas call; see arena.
  working_memory(void* device, arena::source allocate, arena::poison fill) : device_(device), allocate_(allocate), fill_(fill) {}

  /// A step begins or ends on the calling thread. Those of one thread nest.
  void enter() {
    const std::lock_guard lock(guard_);
    auto* own = find(this_thread());
    if (!own) own = find(nullptr);
    if (!own) own = &add();
    own->thread = this_thread();
    ++own->steps;
  }
  /// Ends the innermost step of the calling thread.
  void leave() {
    const std::lock_guard lock(guard_);
    auto* own = find(this_thread());
    if (own && --own->steps == 0) own->thread = nullptr;
  }
  /// The calling thread's; outside its steps the one that its next step would take.
  arena& mine() {
    const std::lock_guard lock(guard_);
    if (auto* own = find(this_thread())) return *own->memory;
    if (auto* next = find(nullptr)) return *next->memory;
    return *add().memory;
  }

 private:
  struct place {
    std::unique_ptr<arena> memory = {};
    const void* thread = nullptr;  // that holds it
    int steps = 0;
  };
  static const void* this_thread() {
    thread_local const char here = 0;
    return &here;
  }
  place* find(const void* thread) {
    const auto at = std::find_if(places_.begin(), places_.end(), [&](const place& p) { return p.thread == thread; });
    return at == places_.end() ? nullptr : &*at;
  }
  place& add() { return places_.emplace_back(place{std::make_unique<arena>(device_, allocate_, fill_)}); }

  void* device_;
  arena::source allocate_;
  arena::poison fill_;
  std::mutex guard_;
  std::vector<place> places_;
};

/// While it lives, the calling thread uses the device.
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
