// The keeper holds this user's user, mount and bridge-network namespaces, and lives as long as the
// daemon or a container does; it starts coracle-netstack and starts it again when it ends, and
// holds netstack's listening sockets for its successor (netstack/protocol.hpp, the vault). One that
// was killed is replaced, by the daemon or, when that is gone too, by the next one: as long as
// anything lives in its namespaces they stay the same ones.
#pragma once

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::rootless {

struct Entered {
  bool one_id = false;                // no id range, or no helper: one id is mapped
  std::vector<std::string> warnings;  // for /info and the log, each with its remedy
  UniqueFd lifeline;                  // copies are held by the daemon and every monitor: when the
                                      // last one is closed, the keeper goes
  UniqueFd guest_listener;            // the guests' socket (protocol.hpp); none from a keeper of an
                                      // older coracle
  std::string guest_socket;           // where its file is
};

// Joins the keeper of this exec root, or starts one, and enters its user and mount namespaces. The
// network namespace stays the host's. Called once, before there are threads.
//   exec_root  $XDG_RUNTIME_DIR/coracle: keeper.json, keeper.sock, netstack.sock; it is made ours
//              alone (base/private_dir)
//   errors     with the remedy: no user namespaces on this host, exec root not writable, …
Result<Entered> enter_keeper(const std::string& exec_root);

// What another keeper needs to take the place of one that is killed while we live.
struct Heritage {
  bool one_id = false;
  std::vector<std::string> warnings;
  UniqueFd lifeline;        // a write end
  UniqueFd guest_listener;  // may be none
};
// Asks the living keeper for it, beforehand. Blocks for as long as the keeper takes to answer.
Result<Heritage> ask_heritage(const std::string& exec_root);
// From inside the namespaces: starts another keeper, unless one lives, which takes them over with
// the same lifeline and, if it lives, its netstack. Blocks until it is published: for a worker.
Result<> replace_keeper(const std::string& exec_root, const Heritage& heritage);

// Does this process (a monitor) live in a user namespace that is not ours? Then an earlier
// keeper's, which could not be taken over.
bool of_another_keeper(const ProcessIdentity& who);

}  // namespace coracle::rootless
