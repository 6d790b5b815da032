// Progress with rate and time left, on stderr when it is a terminal; silent elsewhere.
#pragma once
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <clipx/core/observer.hpp>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "flags.hpp"
#include "stop.hpp"

namespace cli {

class progress {
 public:
  progress(std::string what, std::size_t total, bool quiet = false)
      : what_(std::move(what)), total_(total), shown_(isatty(2) && !quiet) {}
  ~progress() {
    if (shown_ && done_) std::fprintf(stderr, "\r\033[K");
  }
  void advance(std::size_t n) {
    advance(n, [] { return std::string(); });
  }
  /// note(): what else is to be said at the end of the line. It is called where the line is drawn: ten times a second at most.
  template <class Note>
  void advance(std::size_t n, Note&& note) {
    done_ += n;
    const auto now = std::chrono::steady_clock::now();
    if (!shown_ || (now - last_ < std::chrono::milliseconds(100) && done_ < total_)) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - start_).count(),
                 rate = static_cast<double>(done_) / std::max(seconds, 1e-9);
    std::fprintf(stderr, "\r\033[K%s %zu", what_.c_str(), done_);
    if (total_) std::fprintf(stderr, "/%zu", total_);
    std::fprintf(stderr, "  %.1f/s", rate);
    if (total_ > done_) {
      const double left = std::ceil(static_cast<double>(total_ - done_) / rate);
      if (left < 120) std::fprintf(stderr, "  %.0f s left", left);
      else if (left < 7200) std::fprintf(stderr, "  %.0f min left", left / 60);
      else std::fprintf(stderr, "  %.1f h left", left / 3600);
    }
    std::fprintf(stderr, "%s", std::string(note()).c_str());
    std::fflush(stderr);
  }

 private:
  using clock = std::chrono::steady_clock;
  std::string what_;
  std::size_t total_, done_ = 0;
  bool shown_;
  clock::time_point start_ = clock::now(), last_{};
};

/// What the library's long calls report, on standard error: a bar for each stage, warnings. A signal that stop.hpp remembers
/// cancels.
class terminal final : public clipx::observer {
 public:
  void progress(const std::string& stage, std::size_t done, std::size_t total) override {
    if (!bar_ || stage != stage_) {
      bar_.reset();
      bar_.emplace(stage_ = stage, total ? total - done : 0);  // what an earlier run did does not count for the rate
    } else {
      bar_->advance(done - done_);
    }
    done_ = done;
  }
  bool cancelled() override { return told_to_stop() != 0; }
  void warning(const std::string& message) override { complain("warning: " + message); }

 private:
  std::string stage_;
  std::size_t done_ = 0;
  std::optional<cli::progress> bar_;
};

}  // namespace cli
