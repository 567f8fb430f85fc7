// Places below the container's root where something is mounted: resolved as the container would see
// them, and made when they are missing.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

enum class PlaceKind : std::uint8_t { directory, file };

// The O_PATH descriptor of `path` below `root`. What is missing is made (directories 0755, the file
// empty, 0644), through links that dangle in the image as well.
Result<UniqueFd> mount_point(const UniqueFd& root, const std::string& path, PlaceKind kind);

}  // namespace coracle::runtime
