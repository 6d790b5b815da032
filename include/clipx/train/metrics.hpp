// The record of a training run: numbers by step, as lines of JSON and, if wished, as TensorBoard events.
#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "../core/mat.hpp"

namespace clipx {

namespace detail {
/// A file that grows. What is appended is with the system when the call returns, whole or not at all.
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
}  // namespace detail

/// A number of a step.
struct metric {
  std::string_view name;  // such as loss, val_loss; TensorBoard groups what shares a name up to a '/'
  double value = 0;       // any; NaN and infinities are written as null
};

/// Writes folder/metrics.jsonl, an object a line: {"step": 12, "epoch": 0.31, "loss": 2.5}. With `tensorboard` also a file
/// folder/events.out.tfevents.<seconds>.<host>.<process>.<number> of scalars, one more with each start.
class metrics_log {
 public:
  /// The folder must exist. A run that goes on after step `resumed` keeps the lines of its steps up to that one, without a last
  /// line that a kill cut off (a new file is renamed over the old); TensorBoard is told to forget later steps. 0 starts afresh.
  /// Errors: a folder that cannot be written; a line of the old file that is no record, by its number.
  metrics_log(const std::string& folder, dim resumed, bool tensorboard);
  /// Appends a line. NaN and the infinities are null in it. Errors: a negative step, a name that comes twice or is "step", a full
  /// disk (what fitted is taken back: the files stay whole).
  void write(dim step, std::span<const metric> values);

 private:
  detail::growing_file lines_, events_;
};

}  // namespace clipx

#ifndef CLIPX_COMPILED
#include "metrics-inl.hpp"
#endif
