// Legacy links of the network bridge (`--link db:alias`): lines in /etc/hosts, variables, and a
// second name for the linked container. Kept in the record as "ID:alias", so that a rename does no
// harm.
#pragma once

#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"

namespace coracle {

// DB_PORT_80_TCP_ADDR and the like, as Docker sets them.
//   errors  internal: `Cannot link to a non running container: /db AS /web/alias`
Result<std::vector<std::string>> link_env(const ContainerTable& containers, const Container& c);
// Lines for /etc/hosts; only of those that run.
std::string link_hosts(const ContainerTable& containers, const Container& c);
// "/db:/web/alias"
std::vector<std::string> shown_links(const ContainerTable& containers, const Container& c);

}  // namespace coracle
