// metrics.jsonl of a run that goes on, and the report about it. The first two bytes: the step after which it goes on. What a record
// becomes when it is resumed can be read again, has only steps up to that one and then the new line, and makes a report; lines that
// are no records are put aside.
#include <clipx/train/metrics.hpp>
#include <clipx/train/report.hpp>
#include <cstdint>
#include <cstdio>

#include "folder.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace clipx;
  static const fuzz_folder dir;
  static const auto path = dir / "metrics.jsonl";
  if (size < 2) return 0;
  const dim resumed = 1 + data[0] + 256 * data[1];
  put(path, {reinterpret_cast<const char*>(data) + 2, size - 2});
  std::remove((dir / "metrics.damaged.jsonl").c_str());
  std::size_t kept = 0, damaged = 0;
  try {
    detail::for_each_record(
        path, [&](const detail::metrics_record& r) { kept += r.step <= resumed; },
        [&](std::string_view, const error&) { ++damaged; });
  } catch (const error&) { return 0; }  // a pointer of Git LFS
  metrics_log log(dir.path, resumed, false);
  if (log.damaged().empty() != (damaged == 0)) std::abort();
  log.write(resumed + 1, std::vector<metric>{{"loss", 0.5}, {"val_loss", 1e300}});
  std::size_t lines = 0;
  dim last = 0;
  const auto count = [&](const detail::metrics_record& r) {
    ++lines;
    last = r.step;
    if (r.step > resumed + 1) std::abort();
  };
  detail::for_each_record(path, count, [](std::string_view, const error&) { std::abort(); });
  if (lines != kept + 1 || last != resumed + 1) std::abort();
  write_training_report(dir.path, "fuzz \xff", {});
  return 0;
}
