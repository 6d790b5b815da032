// What the benches share: repeated timing and one line of results.
#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "peak.hpp"

namespace CLI {
class App;
}

namespace bench {

using json = nlohmann::ordered_json;

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

/// min, median, all runs, and the process's peak memory.
inline json result(const std::vector<double>& ms) {
  return {{"min_ms", *std::min_element(ms.begin(), ms.end())}, {"median_ms", median(ms)}, {"runs", ms}, {"peak_mib", peak_mib()}};
}

/// One JSON line, or the same facts a line each.
void print(const json& facts, bool as_json);

void add_peak(CLI::App& app, std::function<void()>& run);
void add_encode(CLI::App& app, std::function<void()>& run);
void add_tokenize(CLI::App& app, std::function<void()>& run);
void add_preprocess(CLI::App& app, std::function<void()>& run);
void add_ops(CLI::App& app, std::function<void()>& run);

}  // namespace bench
