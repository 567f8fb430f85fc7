// A container's configuration takes over what the image says and the request leaves open. Pure.
#pragma once

#include <string>
#include <vector>

#include "engine/face/config.hpp"
#include "engine/face/types.hpp"
#include "storage/images/image.hpp"

namespace coracle {

// Docker's rules: environment by key (the request's wins), union of ports, volumes and labels; the
// image's command only when the entry point is not overridden.
//   errors  invalid_argument "no command specified"
Result<ContainerConfig> with_image_defaults(ContainerConfig config,
                                            const storage::ImageConfig& image);

// What clients may leave open in a HostConfig.
HostConfig with_defaults(HostConfig host, const ContainerDefaults& defaults);

}  // namespace coracle
