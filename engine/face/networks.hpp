// Networks: so far the predefined ones.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "engine/face/network_view.hpp"

namespace coracle::face {

class Networks {
 public:
  virtual ~Networks() = default;

  //   errors  invalid_argument "invalid filter 'x'"
  [[nodiscard]] virtual Result<std::vector<NetworkView>> list(const Filters& filters) const = 0;
  // By id, name, or a unique prefix of the id.   errors  not_found "network X not found"
  [[nodiscard]] virtual Result<NetworkView> find(const std::string& ref) const = 0;
};

}  // namespace coracle::face
