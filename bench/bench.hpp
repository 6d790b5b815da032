// What the benches share: repeated timing, work counted, and one line of results.
#pragma once
#include <algorithm>
#include <clipx/core/config.hpp>
#include <clipx/image/preprocess.hpp>
#include <clipx/run/machine.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "clock.hpp"
#include "peak.hpp"

namespace bench {

using json = nlohmann::ordered_json;

/// The most memory that this process has had, MiB.
inline double peak_mib() { return static_cast<double>(clipx::peak_memory()) / (1 << 20); }

/// min, median, all runs, and the process's peak memory.
inline json result(const std::vector<double>& ms) {
  return {{"min_ms", *std::min_element(ms.begin(), ms.end())}, {"median_ms", median(ms)}, {"runs", ms}, {"peak_mib", peak_mib()}};
}

struct device_options;
/// Adds GFLOP/s of `flops` in each run; but for a GPU, the ceiling of this precision too, measured at the first call, which comes
/// once peak_mib() was taken.
void add_rate(json& facts, double flops, const device_options& device);

// Operations of the work that clipx does, a multiply-add as two: without the rows of the last block that nothing reads.

/// Milliseconds of each step, summed over images (and threads).
struct image_times {
  double decode = 0, resize = 0, use = 0;
};
/// Files to pixels as the image tower wants them; use(i, pixels) is called for each, on any of the threads. Errors name the file.
image_times each_image(std::span<const std::string> files, const clipx::preprocess_config& config, int threads,
                       const std::function<void(std::size_t, const clipx::image&)>& use);
/// Lines of a file, without their ends.
std::vector<std::string> lines_of(const std::string& path);

/// One JSON line, or the same facts a line each.
void print(const json& facts, bool as_json);

/// How often a command calls what it times, and how it says so.
struct timing {
  int runs = 10, warmup = 2;
  bool serve = false, json_output = false;
  void add(cli::command& verb);
  /// Calls `work`, and prints facts, result() and what `add` adds: once, or for every request.
  void report(const json& facts, const std::function<void()>& work, const std::function<void(json&)>& add) const;
};

void add_peak(cli::command& app, std::function<void()>& run);
void add_encode(cli::command& app, std::function<void()>& run);
void add_tokenize(cli::command& app, std::function<void()>& run);
void add_match(cli::command& app, std::function<void()>& run);
void add_preprocess(cli::command& app, std::function<void()>& run);
void add_loader(cli::command& app, std::function<void()>& run);
void add_ends(cli::command& app, std::function<void()>& run);
void add_ops(cli::command& app, std::function<void()>& run);
void add_loss(cli::command& app, std::function<void()>& run);
void add_train(cli::command& app, std::function<void()>& run);

}  // namespace bench
