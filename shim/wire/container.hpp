// Containers in Docker's JSON: the body of create, the answers of list and inspect, exec instances.
#pragma once

#include <optional>
#include <string>

#include "engine/base/ident.hpp"
#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"
#include "engine/face/container_view.hpp"
#include "engine/face/create.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/face/exec.hpp"
#include "shim/http/message.hpp"

namespace coracle {
struct ContainerUpdate;  // engine/face/update.hpp
}

namespace coracle::wire {

// The flat body of POST /containers/create: Config's fields at the top, HostConfig,
// NetworkingConfig. What is wrong is named by its place ("HostConfig.Memory: expected a number").
Result<CreateRequest> parse_create(const json::Value& body, http::ApiVersion version);

// The body of POST /commit is that of create, of which the Config alone counts; nothing when it
// holds none.
Result<std::optional<ContainerConfig>> parse_commit(const json::Value& body);

// The flat body of POST /containers/{c}/update: limits, RestartPolicy.
Result<ContainerUpdate> parse_update(const json::Value& body);

// GET /containers/{c}/json
json::Value container_json(const ContainerView& view, http::ApiVersion version,
                           const std::optional<ContainerSize>& size = std::nullopt);
// One element of GET /containers/json.
//   image  what the Image column shows: the name as given, or the id when the name has moved away
json::Value container_summary(const ContainerView& view, const std::string& image,
                              http::ApiVersion version, Time at,
                              const std::optional<ContainerSize>& size = std::nullopt);

// GET /exec/{e}/json
json::Value exec_json(const ExecView& view);

}  // namespace coracle::wire
