// in_threads: work on several threads, or on as many as the system grants.
#pragma once
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace clipx::detail {

/// Calls work(0) to work(count - 1), each on a thread of its own, work(0) on the calling one. Where the system grants fewer
/// threads, the calling thread does what is left after its own. Returns the number of threads. `work` must not throw but on the
/// calling thread.
template <class Work>
std::size_t in_threads(std::size_t count, Work&& work) {
  std::vector<std::jthread> others;  // joined at the end, also where work(0) throws
  others.reserve(count);
  std::size_t k = 1;
  try {
    for (; k < count; ++k) others.emplace_back([&work, k] { work(k); });
  } catch (const std::system_error&) {}  // no more of them
  const std::size_t granted = count > 0 ? k : 0;
  if (count > 0) work(std::size_t{0});
  for (; k < count; ++k) work(k);
  return granted;
}

}  // namespace clipx::detail
