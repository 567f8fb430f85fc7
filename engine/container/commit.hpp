// `docker commit` and `docker diff`: what a container has made of its image.
#pragma once

#include <string>
#include <vector>

#include "engine/archive.hpp"
#include "engine/container/container.hpp"
#include "engine/parts.hpp"

namespace coracle {

Task<std::vector<storage::Change>> changes_of(Parts& parts, ContainerPtr c);

// The new image's id.
//   errors  conflict (it is being removed, dead); invalid_argument (name, instruction)
Task<std::string> commit_container(Parts& parts, ContainerPtr c, CommitRequest request);

}  // namespace coracle
