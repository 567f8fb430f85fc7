// Text from outside that goes to the kernel, which ends it at a NUL: what was checked would not be
// what is used.
#pragma once

#include <string_view>

#include "engine/base/result.hpp"

namespace coracle {

// Is there no U+0000 in a string (or key) of this JSON text?
//   errors  invalid_argument
Result<> require_no_nul(std::string_view json);

}  // namespace coracle
