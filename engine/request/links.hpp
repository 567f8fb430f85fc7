// Legacy links as they are asked for: `--link db:alias`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/container/record.hpp"
#include "engine/face/host_config.hpp"

namespace coracle {

// A container by name or id.   errors  not_found "No such container: X"; invalid_argument
using FindRecord = std::function<Result<const ContainerRecord*>(const std::string& ref)>;

struct Link {
  std::string name, alias;
};
// "db", "db:alias", and the form that inspect shows: "/db:/web/alias".
//   errors  invalid_argument `bad format for links: X`
Result<Link> parse_link(const std::string& text);

// The request's links as they are kept: "ID:alias", so that a rename does no harm.
//   errors  invalid_argument: `could not get container for X: …`, or what a network mode excludes
Result<std::vector<std::string>> plan_links(const FindRecord& find, const HostConfig& host);

}  // namespace coracle
