#include "stop.hpp"

#include <csignal>
#include <ctime>

namespace cli {
namespace {

volatile std::sig_atomic_t told = 0;
volatile std::time_t told_at = 0;

void on_signal(int number) {
  const auto now = ::time(nullptr);
  if (told && now > told_at + 1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  if (!told) told_at = now;
  told = number;
}

}  // namespace

void listen_for_stop() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}
int told_to_stop() { return told; }

}  // namespace cli
