// YAML as the JSON value it means; for files that others write (CDI). Parsed by libyaml.
#pragma once

#include <string>

#include "engine/base/json_fwd.hpp"
#include "engine/base/result.hpp"

namespace coracle {

// The first document. Plain scalars are typed as in YAML 1.2's core schema: null, booleans, whole
// numbers (0x, 0o, and the 0NNN of file modes); the rest are strings. Keys are taken as strings.
//   errors  invalid_argument with the line: no YAML, anchors (they are not needed there), too deep
Result<json::Value> parse_yaml(const std::string& text);

}  // namespace coracle
