// What the daemon was started with, as the engine takes it. Made by shim/main.cpp from the flags
// and the settings, and from what the keeper gave.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/face/host_config.hpp"
#include "storage/content/config.hpp"

namespace coracle {

// What the daemon's settings say of containers that leave it open.
struct ContainerDefaults {
  std::string ipc_mode = "private", cgroupns_mode = "private";
  std::int64_t shm_size = std::int64_t{64} << 20;
  bool init = false, no_new_privileges = false;
  std::vector<std::string> dns, dns_options, dns_search;
  std::vector<Ulimit> ulimits;
  std::string host_gateway;  // what `host-gateway` means; "": the network's gateway
  bool has_bridge = true;    // false: who names no network has none
};

struct EngineConfig {
  std::string data_root;    // ~/.local/share/coracle
  std::string exec_root;    // $XDG_RUNTIME_DIR/coracle
  std::string socket_path;  // the first -H
  // What a bind of /var/run/docker.sock (or of socket_path) is translated to: a socket that any id
  // of a container may connect to, and that outlives this daemon. "": the keeper has none.
  std::string guest_socket_path;
  storage::Config storage;
  LogConfig log;  // of containers that name no driver; "": json-file
  ContainerDefaults defaults;
  std::vector<std::string> labels;           // shown in /info
  bool one_id = false;                       // from rootless/keeper: no id range
  std::vector<std::string> cdi_spec_dirs;    // of CDI specifications, the last one wins
  std::vector<std::string> set_up_warnings;  // from rootless/keeper: shown in /info
  UniqueFd lifeline;  // from rootless/keeper: kept open by the daemon and every monitor; closed =
                      // keeper may go
};

}  // namespace coracle
