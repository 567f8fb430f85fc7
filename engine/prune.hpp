// docker container|image|volume prune: what nothing uses, by filters, and how much that was.
#pragma once

#include "engine/context.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/images.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/volumes/volumes.hpp"

namespace coracle {

// One prune of a kind at a time.
class Prune {
 public:
  Prune(Context& context, Lifecycle& life, Images& images, Volumes& volumes)
      : context_(context), life_(life), images_(images), volumes_(volumes) {}

  // Filters: until, label, label!. All: errors invalid_argument; conflict "a prune operation is
  // already running"
  Task<Pruned> containers(Filters filters);
  // Also dangling: only images without a name (the default), or all that no container uses.
  Task<PrunedImages> images(Filters filters);
  // Filters: label, label!, all: not only the anonymous ones.
  Task<Pruned> volumes(Filters filters);

 private:
  Context& context_;
  Lifecycle& life_;
  Images& images_;
  Volumes& volumes_;
  bool containers_run_ = false, images_run_ = false, volumes_run_ = false;  // under way
};

// The filters of a prune, taken apart. Pure.
struct PruneRule {
  Time before;  // 0: any time
  std::vector<std::string> labels, not_labels;
  [[nodiscard]] bool takes(Time created, const std::map<std::string, std::string>& labels_of) const;
};
Result<PruneRule> prune_rule(const Filters& filters, Time at);

}  // namespace coracle
