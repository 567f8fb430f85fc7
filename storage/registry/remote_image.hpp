// An image as a registry has it, without pulling it.
#pragma once

#include <vector>

#include "storage/content/descriptor.hpp"

namespace coracle::storage {

struct RemoteImage {
  Descriptor descriptor;            // of what the name stands for: an index, or a manifest
  std::vector<Platform> platforms;  // of an index all of its entries'
};

}  // namespace coracle::storage
