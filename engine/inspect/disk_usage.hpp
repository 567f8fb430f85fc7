// What is used on disk: docker system df, ps --size.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/tree/walk.hpp"
#include "engine/context.hpp"
#include "engine/face/disk_usage.hpp"

namespace coracle {

// The layers of several images, each once. A layer is what stands below it too: its place is the
// path of diff ids from the bottom. Pure.
class LayerSums {
 public:
  // `used`: a container uses the image.
  void add(const storage::Image& image, bool used);
  [[nodiscard]] std::int64_t total() const;
  // Of layers that no used image has.
  [[nodiscard]] std::int64_t unused() const;
  // Bytes of the image's layers that another one of these images has too.
  [[nodiscard]] std::int64_t shared(const storage::Image& image) const;

 private:
  struct Node {
    std::map<std::string, std::size_t> above;  // diff id -> node
    std::int64_t size = 0;
    std::size_t images = 0;
    bool used = false;
  };
  std::vector<Node> nodes_{1};
};
LayerSums sums_of(const storage::Storage& storage, const ContainerTable& containers);

// Bytes of the files below `path` (each hard-linked one once, none of another file system), as
// Docker counts a volume.   errors  those of the first directory; what cannot be read is left out
Result<std::int64_t> tree_size(const std::string& path, Stop stop = nullptr);

// Of these containers; one that is gone or cannot be read is left out.
Task<std::map<std::string, ContainerSize>> container_sizes(Context& context,
                                                           std::vector<std::string> ids);
Task<DiskUsage> disk_usage(Context& context, DiskUsageParts wanted);

// Containers that have this volume among their mounts, whether they run or not.
std::size_t containers_with_volume(const ContainerTable& containers, const std::string& name);

}  // namespace coracle
