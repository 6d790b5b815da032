// An observer for tests: remembers what it is told, and cancels where the test says.
#pragma once
#include <clipx/core/observer.hpp>
#include <functional>
#include <string>
#include <vector>

struct recorder final : clipx::observer {
  struct call {
    std::string stage;
    std::size_t done, total;
    bool operator==(const call&) const = default;
  };
  std::vector<call> told;
  std::vector<std::string> warnings;
  std::function<bool()> stop;

  recorder() = default;
  explicit recorder(std::function<bool()> when) : stop(std::move(when)) {}
  void progress(const std::string& stage, std::size_t done, std::size_t total) override { told.push_back({stage, done, total}); }
  bool cancelled() override { return stop && stop(); }
  void warning(const std::string& message) override { warnings.push_back(message); }
};
