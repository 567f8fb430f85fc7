// The filters of docker ps that look at a container alone. Pure.
#pragma once

#include <string>

#include "engine/face/types.hpp"
#include "engine/request/filter.hpp"

namespace coracle {

// All but before, since and ancestor, made ready once for a whole list. The filters outlive it.
class ContainerFilter {
 public:
  explicit ContainerFilter(const Filters& filters) : filters_(filters), names_(filters) {}
  [[nodiscard]] bool matches(const ContainerView& view) const;

 private:
  const Filters& filters_;
  NameFilter names_;
};
// Keys, and values that have a form.
Result<> check_container_filters(const Filters& filters);

}  // namespace coracle
