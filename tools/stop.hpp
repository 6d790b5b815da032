// Ctrl-C and SIGTERM for the verbs that take long and go on where they stopped.
#pragma once

namespace cli {

/// From now on the first signal is only remembered; one that comes seconds later ends the process at once (timeout(1) sends two
/// together).
void listen_for_stop();
/// The signal that came; 0 where none did.
int told_to_stop();

}  // namespace cli
