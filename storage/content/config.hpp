// What a store is opened with.
#pragma once

#include <string>
#include <vector>

#include "storage/content/trust_policy.hpp"

namespace coracle::storage {

struct Config {
  std::string root;     // data-root/storage
  std::string volumes;  // data-root/volumes; "": below the root
  std::string
      driver;  // "", auto, overlay, fuse-overlayfs, copy ("overlay2" = overlay, "vfs" = copy)
  std::vector<std::string>
      mirrors;  // registry mirrors for the default registry: "http://127.0.0.1:5000"
  std::vector<std::string>
      insecure_registries;  // host[:port] or CIDR; loopback is always among them
  std::vector<std::string> certificate_folders;  // certs.d, the user's first
  TrustPolicy policy;
  bool one_id = false;  // no id range: every owner in a layer becomes ours
};

}  // namespace coracle::storage
