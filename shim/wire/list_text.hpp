// GET /containers/json as text, written straight from the views: with a thousand containers the
// tree of JSON values in between would cost several times the rest.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shim/wire/container.hpp"
#include "storage/snapshots/mount_plan.hpp"

namespace coracle::wire {

// Appends one element; container_summary() is the same as a value.
void append_summary(std::string& out, const ContainerView& view, const std::string& image,
                    http::ApiVersion version, Time at,
                    const std::optional<ContainerSize>& size = std::nullopt);

// GET /containers/{}/changes; "null" for none.
std::string changes_text(const std::vector<storage::Change>& changes);

// Until 1.44 the short id stood among the aliases of a network that users made.
bool has_id_alias(const ContainerView& view, http::ApiVersion version);

}  // namespace coracle::wire
