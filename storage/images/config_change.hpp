// `docker import --change`, `docker commit --change`: Dockerfile instructions that alter an image's
// configuration.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/images/image.hpp"

namespace coracle::storage {

// Applies them in order, as the lines of one Dockerfile: each line is an instruction, those that end
// with a backslash go on, comments are left out. Variables ($A) are those of `config`, as the
// instructions before have made them.
//   CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR
//   errors  invalid_argument, naming the instruction
Result<> apply_changes(ImageConfig& config, const std::vector<std::string>& changes);

}  // namespace coracle::storage
