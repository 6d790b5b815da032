// metrics.jsonl of a run that goes on, and the report about it. The first two bytes: the step after which it goes on. What a record
// becomes when it is resumed can be read again, has only steps up to that one and then the new line, and makes a report.
#include <clipx/train/metrics.hpp>
#include <clipx/train/report.hpp>
#include <cstdint>

#include "folder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const fuzz_folder dir;
  static const auto path = dir / "metrics.jsonl";
  if (size < 2) return 0;
  const dim resumed = 1 + data[0] + 256 * data[1];
  put(path, {reinterpret_cast<const char*>(data) + 2, size - 2});
  std::size_t kept = 0;
  try {
    detail::for_each_record(path, [&](const detail::metrics_record& r) { kept += r.step <= resumed; });
    metrics_log(dir.path, resumed, false).write(resumed + 1, std::vector<metric>{{"loss", 0.5}, {"val_loss", 1e300}});
  } catch (const error&) {
    try {
      write_training_report(dir.path, "refused", {});
      std::abort();  // it reads the same file
    } catch (const error&) {}
    return 0;
  }
  std::size_t lines = 0;
  dim last = 0;
  detail::for_each_record(path, [&](const detail::metrics_record& r) {
    ++lines;
    last = r.step;
    if (r.step > resumed + 1) std::abort();
  });
  if (lines != kept + 1 || last != resumed + 1) std::abort();
  write_training_report(dir.path, "fuzz \xff", {});
  return 0;
}
