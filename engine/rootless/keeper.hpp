// The keeper holds this user's user, mount and bridge-network namespaces, and lives as long as the
// daemon or a container does; it starts coracle-netstack and starts it again when it ends, and
// holds netstack's listening sockets for its successor (netstack/protocol.hpp, the vault).
#pragma once

#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::rootless {

struct Entered {
  bool one_id = false;                // no id range, or no helper: one id is mapped
  std::vector<std::string> warnings;  // for /info and the log, each with its remedy
  UniqueFd lifeline;                  // copies are held by the daemon and every monitor: when the
                                      // last one is closed, the keeper goes
  UniqueFd guest_listener;            // exec_root/guest.sock (protocol.hpp); none from a keeper of
                                      // an older coracle
};

// Joins the keeper of this exec root, or starts one, and enters its user and mount namespaces. The
// network namespace stays the host's. Called once, before there are threads.
//   exec_root  $XDG_RUNTIME_DIR/coracle: keeper.json, keeper.sock, netstack.sock
//   errors     with the remedy: no user namespaces on this host, exec root not writable, …
Result<Entered> enter_keeper(const std::string& exec_root);

}  // namespace coracle::rootless
