// Clocks.
#pragma once
#include <algorithm>
#include <chrono>
#include <vector>

namespace bench {

/// Seconds of a steady clock.
inline double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// Milliseconds of each of `runs` calls, after `warmup` calls that are not counted.
template <class F>
std::vector<double> time_runs(int warmup, int runs, F&& f) {
  std::vector<double> ms;
  for (int i = 0; i < warmup + runs; ++i) {
    const double start = now();
    f();
    if (i >= warmup) ms.push_back((now() - start) * 1e3);
  }
  return ms;
}

inline double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

}  // namespace bench
