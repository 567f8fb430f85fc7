// What a container is made of.
#pragma once

#include <string>
#include <vector>

#include "engine/face/container_config.hpp"
#include "engine/face/endpoint.hpp"
#include "engine/face/host_config.hpp"

namespace coracle {

struct CreateRequest {
  std::string name;      // "": a random one
  std::string platform;  // os[/arch[/variant]]
  ContainerConfig config;
  HostConfig host;
  Endpoints endpoints;
  bool shallow_read_only = false;  // read-only binds: what is mounted below them stays writable
};
struct Created {
  std::string id;
  std::vector<std::string> warnings;
};

}  // namespace coracle
