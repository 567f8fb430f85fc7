// A container's configuration becomes an OCI runtime specification. Pure: everything that must be
// asked of the system stands in GenerateInput.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/face/types.hpp"
#include "engine/spec/capabilities.hpp"
#include "engine/spec/oci.hpp"
#include "engine/spec/seccomp_profile.hpp"

namespace coracle {

// A mount of the request, resolved: volumes have a mountpoint, binds an absolute source.
struct ResolvedMount {
  std::string type;         // bind, volume, tmpfs, overlay, fuse-overlayfs (an image, read-only)
  std::string source;       // host path; "" for tmpfs; fuse-overlayfs: the program
  std::string destination;  // clean, absolute
  bool rw = true;
  bool recursive = true;            // bind: with the mounts below it
  bool recursive_read_only = true;  // ro: the mounts below it too, where the kernel can
  std::string propagation;          // "", rprivate, rslave, rshared, private, slave, shared
  std::string subpath;              // bind, volume, image: this below the source
  std::vector<std::string> options;  // tmpfs: "size=…", "mode=…", "noexec", …; others: attributes
  std::vector<std::string> lower;  // an image's layers, topmost first
};

// A device node of the host to be bound to a path inside (a rootless engine cannot mknod).
struct ResolvedDevice {
  std::string host_path, container_path, permissions;
};

struct GenerateInput {
  std::string id;
  ContainerConfig config;  // merged with the image's
  HostConfig host;         // defaults filled in
  std::vector<ResolvedMount> mounts;
  std::vector<ResolvedDevice> devices;
  std::string hosts_path, hostname_path, resolv_conf_path;  // bound over /etc/…
  std::string init_program;     // --init: where coracle-init lies on this host; else ""
  bool network_host = false;    // the host's own network namespace
  bool network_joined = false;  // a namespace is handed to the monitor (bridge, none)
  std::string network_path;     // container: mode; else ""
  std::string pid_path, ipc_path, uts_path;  // namespaces of another container; else ""
  // keep-id: the container's user namespace (spec/keep_id.hpp); empty: ours
  std::vector<oci::IdMapping> uid_map, gid_map;
  std::uint32_t gids = 1;                // as many there are in our user namespace
  std::vector<ProcessIdentity> joined;   // the processes whose namespaces those are
  std::vector<oci::Mount> more_mounts;   // as they are: of CDI devices
  std::vector<std::uint32_t> more_gids;  // of CDI devices
  std::string shm_path;                  // /dev/shm of another container (ipc container:); else ""
  std::string seccomp_profile;           // text of the profile; "": unconfined
  SeccompTarget target;                  // arch and kernel; capabilities are filled in here
  // This process's own hard limits by OCI's names ("RLIMIT_NOFILE"): without root a container's
  // cannot be above.
  std::map<std::string, std::uint64_t> hard_limits;
};

struct Generated {
  oci::Spec spec;
  std::vector<std::string> warnings;  // what was asked for and cannot be kept here
};

// What such a container does not see, and what it cannot write: what was asked for, else the
// defaults; nothing when it is privileged or has its system paths unconfined.
struct HiddenPaths {
  std::vector<std::string> masked, read_only;
};
HiddenPaths hidden_paths(const HostConfig& host);

// errors: invalid_argument with the field's name and Docker's text
Result<Generated> generate(const GenerateInput& input);

// The process of `docker exec`, from the container's own specification.
Result<oci::Process> exec_process(const oci::Spec& container, const ExecRequest& request);

}  // namespace coracle
