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
// A line in the hosts file of a container that runs and links to another one, which has started again
// and has another address.
struct HostsLine {
  std::string path, names, address;
};
std::vector<HostsLine> lines_about(const Store& store, const ContainerTable& containers,
                                   const Container& child);
// Blocking. In place: the file is bound into the container, which may have written to it itself.
Result<> write_line(const HostsLine& line);
// "/db:/web/alias"
std::vector<std::string> shown_links(const ContainerTable& containers, const Container& c);

}  // namespace coracle
