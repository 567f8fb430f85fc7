// `docker cp` and `docker export`: archives into and out of a container's file system.
//
// A copy lasts as long as its client likes, so it holds no turn, only while it begins. It is a use
// of the container's layer instead (layer_use), which a removal ends, and, when it is in its way, a
// start. It ends with the coroutine that waits for it, and then leaves what it has written.
#pragma once

#include <functional>
#include <string>

#include "engine/container/container.hpp"
#include "engine/context.hpp"
#include "engine/face/archive.hpp"

namespace coracle {

// `name` and `path` are the client's, for Docker's texts.
//   errors  not_found "Could not find the file P in container C"
Task<PathStat> stat_path(Context& context, ContainerPtr c, std::string name, std::string path);

// Writes a tar to `to` and closes it. `told` is called on the loop, before the first byte.
Task<> copy_out(Context& context, ContainerPtr c, std::string name, std::string path, UniqueFd to,
                std::function<void(const PathStat&)> told);

// Reads a tar, plain or compressed, into the directory `path`.
//   errors  invalid_argument "extraction point is not a directory", "container rootfs is marked
//           read-only", "mounted volume is marked read-only"
Task<> copy_in(Context& context, ContainerPtr c, std::string name, std::string path,
               CopyInOptions options, UniqueFd from);

Task<> export_container(Context& context, ContainerPtr c, UniqueFd to);

}  // namespace coracle
