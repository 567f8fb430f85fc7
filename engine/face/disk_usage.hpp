// What is used on disk, and what was given back, as values: `docker system df`, `ps --size`, prune.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/face/container_view.hpp"
#include "storage/images/image.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle {

struct ContainerSize {       // bytes
  std::int64_t rw = 0;       // of the writable layer
  std::int64_t root_fs = 0;  // with the image
};

struct DiskUsageParts {
  bool images = true, containers = true, volumes = true;
};

// A part that was not asked for is nullopt.
struct DiskUsage {
  struct ImageUse {
    storage::Image image;
    std::int64_t shared = 0;  // bytes of layers that other images have too
    std::size_t containers = 0;
  };
  struct ContainerUse {
    ContainerView view;
    ContainerSize size;
  };
  struct VolumeUse {
    storage::Volume volume;
    std::int64_t size = -1;  // -1: it could not be read
    std::size_t containers = 0;
  };
  std::int64_t layers = 0;         // bytes of all images' layers, each once
  std::int64_t layers_unused = 0;  // of these, in images that no container uses alone
  std::optional<std::vector<ImageUse>> images;
  std::optional<std::vector<ContainerUse>> containers;
  std::optional<std::vector<VolumeUse>> volumes;
};

struct Pruned {
  std::vector<std::string> deleted;
  std::int64_t reclaimed = 0;  // bytes
};
struct PrunedImages {
  storage::Removed removed;
  std::int64_t reclaimed = 0;
};

}  // namespace coracle
