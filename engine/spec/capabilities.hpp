// Capabilities by name, and which of them a container has. See capabilities(7).
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/face/types.hpp"

namespace coracle {

// Every capability that Linux 6.1 knows, by number: "CAP_CHOWN" first.
const std::vector<std::string>& all_capabilities();

// "chown", "CAP_CHOWN" -> "CAP_CHOWN"; "all" -> "ALL".
//   errors  invalid_argument `unknown capability: "CAP_FOO"`
Result<std::string> normalize_capability(const std::string& name);

// The capabilities of a container, as Docker computes them: its default list, --cap-add,
// --cap-drop,
// --privileged.
//   errors  invalid_argument `invalid CapAdd: unknown capability: "CAP_FOO"`
Result<std::vector<std::string>> container_capabilities(const HostConfig& host);

}  // namespace coracle
