#include "stop.hpp"

#include <unistd.h>

#include <csignal>
#include <cstring>
#include <ctime>
#include <initializer_list>

namespace cli {
namespace {

volatile std::sig_atomic_t told = 0;
volatile std::time_t told_at = 0;
const char* volatile answer_to_first = nullptr;

void on_signal(int number) {
  const auto now = ::time(nullptr);
  if (told && now > told_at + 1) {
    std::signal(number, SIG_DFL);
    std::raise(number);
  }
  if (!told) {
    told_at = now;
    if (const char* text = answer_to_first) {  // write() is async-signal-safe
      [[maybe_unused]] const auto written = ::write(2, text, std::strlen(text));
    }
  }
  told = number;
}

}  // namespace

void listen_for_stop(const char* answer) {
  answer_to_first = answer;
  for (int number : {SIGINT, SIGTERM, SIGUSR1}) std::signal(number, on_signal);
  if (std::signal(SIGHUP, on_signal) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);  // nohup
}
int told_to_stop() { return told; }

}  // namespace cli
