// Legacy links of the network bridge (`--link db:alias`): lines in /etc/hosts, variables, and a
// second name for the linked container. Kept in the record as "ID:alias", so that a rename does no
// harm.
#pragma once

#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"

namespace coracle {

struct Link {
  std::string name, alias;
};
// "db", "db:alias", and the form that inspect shows: "/db:/web/alias".
//   errors  invalid_argument `bad format for links: X`
Result<Link> parse_link(const std::string& text);

// The request's links as they are kept.
//   errors  invalid_argument: `could not get container for X: …`, or what a network mode excludes
Result<std::vector<std::string>> plan_links(const ContainerTable& containers,
                                            const HostConfig& host);

// DB_PORT_80_TCP_ADDR and the like, as Docker sets them.
//   errors  internal: `Cannot link to a non running container: /db AS /web/alias`
Result<std::vector<std::string>> link_env(const ContainerTable& containers, const Container& c);
// Lines for /etc/hosts; only of those that run.
std::string link_hosts(const ContainerTable& containers, const Container& c);
// "/db:/web/alias"
std::vector<std::string> shown_links(const ContainerTable& containers, const Container& c);

}  // namespace coracle
