// What containers that leave it open get, as the daemon's directives say.
#pragma once

#include "engine/base/result.hpp"
#include "engine/face/config.hpp"
#include "shim/directives.hpp"

namespace coracle::shim {

//   errors  invalid_argument, with the directive's name
Result<ContainerDefaults> container_defaults(const Values& values);

}  // namespace coracle::shim
