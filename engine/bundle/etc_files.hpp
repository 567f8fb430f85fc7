// The texts of /etc/hosts, /etc/hostname and /etc/resolv.conf inside a container. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/face/types.hpp"

namespace coracle {

struct NetworkFacts {
  std::string address;       // the container's, "" for none and host
  std::string gateway;       // of the bridge: also its resolver
  std::string host_gateway;  // what host-gateway means; "": the gateway
  bool host = false;         // the host's own network
  std::string hosts;         // the host's files, as they are now
  std::string resolv_conf;
};

std::string hosts_text(const ContainerConfig& config, const HostConfig& host,
                       const NetworkFacts& facts);
std::string resolv_conf_text(const HostConfig& host, const NetworkFacts& facts);

}  // namespace coracle
