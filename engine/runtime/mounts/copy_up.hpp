// tmpcopyup: a tmpfs over a directory of the image begins with what the image has there.
#pragma once

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

// Copies directories, files and links with owner and mode. Sockets, fifos and devices are left out.
Result<> copy_up(const UniqueFd& from, const UniqueFd& to);

}  // namespace coracle::runtime
