// Who one is at a registry.
#pragma once

#include <string>

namespace coracle::storage {

struct RegistryAuth {
  std::string username, password, identity_token, registry_token, server_address;
};

}  // namespace coracle::storage
