// `docker commit` and `docker diff`: what a container has made of its image.
#pragma once

#include <string>
#include <vector>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/archive.hpp"
#include "engine/lifecycle/lifecycle.hpp"

namespace coracle {

Task<std::vector<storage::Change>> changes_of(asio::io_context& io, storage::Storage& storage,
                                              ContainerPtr c);

// The new image's id. A running container is paused meanwhile, unless that is not wanted. Cancelled
// (its client has left, or the container is being removed), it stops and keeps nothing; the
// container runs on in any case.
//   errors  what pausing says; conflict (it is being removed, dead); invalid_argument (name,
//           instruction)
Task<std::string> commit_container(Context& context, Lifecycle& life, ContainerPtr c,
                                   CommitRequest request);

}  // namespace coracle
