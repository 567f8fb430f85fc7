// The filters of docker ps that look at a container alone. Pure.
#pragma once

#include <regex>
#include <string>
#include <vector>

#include "engine/types.hpp"

namespace coracle {

// All but before, since and ancestor, made ready once for a whole list. The filters outlive it.
class ContainerFilter {
 public:
  explicit ContainerFilter(const Filters& filters);
  [[nodiscard]] bool matches(const ContainerView& view) const;

 private:
  const Filters& filters_;
  std::vector<std::regex> names_;
  std::vector<std::string> plain_names_;  // what is no regular expression
};
// Keys, and values that have a form.
Result<> check_container_filters(const Filters& filters);

}  // namespace coracle
