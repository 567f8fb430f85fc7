// A container's bundle on disk (OCI runtime-spec): its configuration, made of its record and of what
// this host has, the files in /etc that are its own, and how its root file system is mounted.
//
//   spec_input      on the loop: what the record needs of the engine
//   bundle_job      on the loop: with what is read and written beside it
//   write_bundle    on a worker: keep-id's maps, missing bind sources, CDI devices, config.json,
//                   resolv.conf, hostname
//   write_hosts     when the network is attached: its address stands in /etc/hosts
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/bundle/etc_files.hpp"
#include "engine/bundle/keep_id_user.hpp"
#include "engine/bundle/spec_input.hpp"
#include "engine/runtime/mounts/root_mount.hpp"

namespace coracle {

struct BundleJob {
  GenerateInput input;
  std::optional<KeepIdInput> keep_id;
  std::vector<std::string> cdi_devices, cdi_directories;
  std::vector<std::string> make_sources;
  std::string bundle;
  std::string hostname_path, hostname, resolv_conf_path;
  NetworkFacts facts;
  bool own_files = true;  // not for container: mode
};
//   gateway  of the network bridge
Result<BundleJob> bundle_job(const Context& context, const Container& c, GenerateInput input,
                             const std::string& gateway);

// Blocks: for a worker. What it answers lacks the seccomp filter and the mounts: it is for exec.
Result<std::shared_ptr<const oci::Spec>> write_bundle(BundleJob job);
Result<> write_hosts(const Context& context, const Container& c, const oci::Spec& spec,
                     const netstack::Endpoint& endpoint);

// How the monitor mounts the root.
//   errors  unsupported: keep-id with a driver that cannot show other ids
Result<runtime::RootMount> root_mount(const storage::Storage& storage, const Container& c,
                                      const oci::Spec& spec);

}  // namespace coracle
