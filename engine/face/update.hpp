// What POST /containers/{}/update may change of a container; what is absent stays as it is.
#pragma once

#include <optional>

#include "engine/face/host_config.hpp"

namespace coracle {

struct ContainerUpdate {
  Resources resources;                          // zero, empty: unchanged
  std::optional<RestartPolicy> restart_policy;  // absent, or a name "": unchanged
};

}  // namespace coracle
