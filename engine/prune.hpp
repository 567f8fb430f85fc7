// docker container|image|volume prune: what nothing uses, by filters, and how much that was.
#pragma once

#include "engine/context.hpp"
#include "engine/face/prune.hpp"
#include "engine/images.hpp"
#include "engine/lifecycle/lifecycle.hpp"
#include "engine/volumes/volumes.hpp"

namespace coracle {

class Prune final : public face::Prune {
 public:
  Prune(Context& context, Lifecycle& life, Images& images, Volumes& volumes)
      : context_(context), life_(life), images_(images), volumes_(volumes) {}

  Task<Pruned> containers(Filters filters) override;
  Task<PrunedImages> images(Filters filters) override;
  Task<Pruned> volumes(Filters filters) override;

 private:
  Task<Pruned> prune_containers(Filters filters);
  Task<PrunedImages> prune_images(Filters filters);
  Task<Pruned> prune_volumes(Filters filters);

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
