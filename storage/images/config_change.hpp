// `docker import --change`: Dockerfile instructions that alter an image's configuration.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/images/image.hpp"

namespace coracle::storage {

// Applies them in order: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME
// WORKDIR.   errors  invalid_argument, naming the instruction
Result<> apply_changes(ImageConfig& config, const std::vector<std::string>& changes);

}  // namespace coracle::storage
