// What nothing uses is given back: docker container|image|volume prune. One prune of a kind runs at
// a time, and to its end when the client that asked has gone.
//   errors  of all: invalid_argument; conflict "a prune operation is already running"
#pragma once

#include "engine/base/async/async.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/face/filters.hpp"

namespace coracle::face {

class Prune {
 public:
  virtual ~Prune() = default;

  // Filters: until, label, label!.
  virtual Task<Pruned> containers(Filters filters) = 0;
  // Also dangling: only images without a name (the default), or all that no container uses.
  virtual Task<PrunedImages> images(Filters filters) = 0;
  // Filters: label, label!, all: not only the anonymous ones.
  virtual Task<Pruned> volumes(Filters filters) = 0;
};

}  // namespace coracle::face
