// in_threads: work on several threads, or on as many as the system grants; granted_threads: how many those are.
#pragma once
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace clipx::detail {

/// Calls work(0) to work(count - 1), each on a thread of its own, work(0) on the calling one. Where the system grants fewer
/// threads, the calling thread does what is left after its own. Returns the number of threads. The first exception of any of the
/// calls is thrown on the calling thread once all of them have ended.
template <class Work>
std::size_t in_threads(std::size_t count, Work&& work) {
  std::exception_ptr failed;
  std::mutex guard;  // of `failed`
  const auto one = [&](std::size_t k) noexcept {
    try {
      work(k);
    } catch (...) {
      const std::lock_guard lock(guard);
      if (!failed) failed = std::current_exception();
    }
  };
  std::size_t k = 1;
  {
    std::vector<std::jthread> others;  // joined at the end of the block
    others.reserve(count);
    try {
      for (; k < count; ++k) others.emplace_back([&one, k] { one(k); });
    } catch (const std::system_error&) {
    } catch (const std::bad_alloc&) {}  // no more of them
    if (count > 0) one(0);
    for (std::size_t rest = k; rest < count; ++rest) one(rest);
  }
  if (failed) std::rethrow_exception(failed);
  return count > 0 ? k : 0;
}

/// How many of `count` threads the system grants at once, the calling one included: at least 1. It starts them, and ends them.
/// For libraries that end the process where they are refused a thread, as OpenMP's do. What is granted now may be refused later.
inline std::size_t granted_threads(std::size_t count) {
  std::atomic<bool> go{false};
  std::size_t granted = 1;
  std::vector<std::jthread> others;
  struct open {  // also where something is thrown: the threads are joined after this
    std::atomic<bool>& gate;
    ~open() {
      gate = true;
      gate.notify_all();
    }
  } last{go};
  try {
    others.reserve(count);
    for (; granted < count; ++granted) others.emplace_back([&go] { go.wait(false); });
  } catch (const std::system_error&) {
  } catch (const std::bad_alloc&) {}
  return granted;
}

}  // namespace clipx::detail
