// The record of a training run: numbers by step, as lines of JSON and, optionally, as TensorBoard events.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../core/error.hpp"
#include "../core/function_ref.hpp"
#include "../core/mat.hpp"

namespace clipx {

namespace detail {
/// A file that grows. When append returns, the data has been passed to the system, completely or not at all.
class growing_file {
 public:
  growing_file() = default;
  growing_file(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  growing_file(growing_file&& o) noexcept : fd_(std::exchange(o.fd_, -1)), path_(std::move(o.path_)) {}
  growing_file& operator=(growing_file&& o) noexcept {
    std::swap(fd_, o.fd_);
    std::swap(path_, o.path_);
    return *this;
  }
  ~growing_file();
  explicit operator bool() const { return fd_ >= 0; }
  void append(std::string_view bytes);

 private:
  int fd_ = -1;
  std::string path_;
};

/// A complete line of a log.
struct metrics_record {
  dim step = 0;
  std::string_view line;                               // including its end
  std::vector<std::pair<std::string, double>> values;  // without the step, in the line's order; NaN for null
};

/// Calls f with each record, and bad with each line that is none. A last line without an end, which a kill may leave, is ignored.
void for_each_record(const std::string& path, function_ref<void(const metrics_record&)> f,
                     function_ref<void(std::string_view line, const error&)> bad);
}  // namespace detail

/// A number of a step.
struct metric {
  std::string_view name;  // such as loss, val_loss; TensorBoard groups names with the same prefix up to a '/'
  double value = 0;       // any; NaN and infinities are written as null
};

/// Writes folder/metrics.jsonl, one object per line: {"step": 12, "epoch": 0.31, "loss": 2.5}. With `tensorboard`, also a file
/// folder/events.out.tfevents.<seconds>.<host>.<process>.<number> of scalars, a new one at each start.
class metrics_log {
 public:
  /// The folder must exist. A run that continues after step `resumed` keeps the lines up to that step, without a last line that a
  /// kill cut off (a new file is renamed over the old one); TensorBoard drops later steps. Invalid lines are appended to
  /// metrics.damaged.jsonl. 0 starts a new file. Errors: a folder that cannot be written to.
  metrics_log(const std::string& folder, dim resumed, bool tensorboard);
  /// What is wrong with the lines that were put aside, one message for each of the first few; empty if there were none.
  const std::vector<std::string>& damaged() const { return damaged_; }
  /// Appends a line. NaN and infinities are written as null. Errors: a negative step, a repeated name or the name "step", a full
  /// disk (a partial write is undone: the files stay valid).
  void write(dim step, std::span<const metric> values);

 private:
  detail::growing_file lines_, events_;
  std::vector<std::string> damaged_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "metrics-inl.hpp"
#endif
