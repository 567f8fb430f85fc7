// The keys that let go of a container's terminal without ending it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle {

// A client's key sequence ("ctrl-p,ctrl-q", "a") as bytes; "" gives Docker's own.
//   errors  invalid_argument
Result<std::vector<std::uint8_t>> parse_detach_keys(const std::string& text);

}  // namespace coracle
