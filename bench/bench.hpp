// What the benches share: repeated timing, work counted, and one line of results.
#pragma once
#include <algorithm>
#include <chrono>
#include <clipx/image/preprocess.hpp>
#include <clipx/model/config.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
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

/// Adds GFLOP/s of `flops` in each run, and the ceiling of this precision, measured now: once peak_mib() was taken.
void add_rate(json& facts, double flops, int threads, bool bf16);

// Operations of the work that clipx does, a multiply-add as two: without the rows of the last block that nothing reads.
double image_flops(const clipx::clip_config& c);                     // one picture
double text_flops(const clipx::clip_config& c, std::size_t tokens);  // one text

/// Milliseconds of each step, summed over pictures (and threads).
struct picture_times {
  double decode = 0, resize = 0, use = 0;
};
/// Files to pixels as the image tower wants them; use(i, pixels) is called for each, on any of the threads. Errors name the file.
picture_times each_picture(std::span<const std::string> files, const clipx::preprocess_config& config, int threads,
                           const std::function<void(std::size_t, const clipx::image&)>& use);
/// Lines of a file, without their ends.
std::vector<std::string> lines_of(const std::string& path);

/// One JSON line, or the same facts a line each.
void print(const json& facts, bool as_json);

void add_peak(CLI::App& app, std::function<void()>& run);
void add_encode(CLI::App& app, std::function<void()>& run);
void add_tokenize(CLI::App& app, std::function<void()>& run);
void add_preprocess(CLI::App& app, std::function<void()>& run);
void add_loader(CLI::App& app, std::function<void()>& run);
void add_ends(CLI::App& app, std::function<void()>& run);
void add_ops(CLI::App& app, std::function<void()>& run);

}  // namespace bench
