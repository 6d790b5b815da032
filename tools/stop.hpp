// Signals that stop the verbs that run long and continue where they stopped.
#pragma once

namespace cli {

/// From now on the first SIGINT, SIGTERM, SIGUSR1, or SIGHUP (unless it is ignored, as under nohup) is remembered, and `answer`
/// printed on standard error; a later one ends the process at once, unless it follows within a second (timeout(1) sends two).
void listen_for_stop(const char* answer = nullptr);
/// The signal that came; 0 where none did.
int told_to_stop();

}  // namespace cli
