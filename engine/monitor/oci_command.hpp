// The OCI runtime command line: `coracle-monitor create|start|state|kill|delete|run` on a bundle,
// for other people's tools and test suites. As runc does it, nothing of ours stays behind the
// container but its `start` waiter:
//
//   create: launch ──▶ a waiter is forked, which holds the container's "go", and serves one `start`
//           on ROOT/ID/start.sock; create ends, the container belongs to the caller
//   start:  connects, is answered when execve succeeded; the waiter ends
//
// ROOT/ID/state.json holds who the container's first process is. ROOT is --root, else
// $XDG_RUNTIME_DIR/coracle/oci, else /tmp/coracle-oci-UID.
#pragma once

#include <string>
#include <vector>

namespace coracle::monitor {

// Carries out one command; the arguments without the program's name. Answers the exit status;
// errors go to stderr as text.
int oci_command(const std::vector<std::string>& arguments);

}  // namespace coracle::monitor
