// Prunes one container, and no image or volume.
#pragma once

#include <utility>

#include "engine/face/prune.hpp"

namespace coracle::test {

class FakePrune final : public face::Prune {
 public:
  Filters last_filters;

  Task<Pruned> containers(Filters filters) override {
    last_filters = std::move(filters);
    Pruned pruned;
    pruned.deleted = {"abc"};
    pruned.reclaimed = 3;
    co_return pruned;
  }
  Task<PrunedImages> images(Filters filters) override {
    last_filters = std::move(filters);
    co_return PrunedImages{};
  }
  Task<Pruned> volumes(Filters filters) override {
    last_filters = std::move(filters);
    co_return Pruned{};
  }
};

}  // namespace coracle::test
