// Volumes. What changes one is carried to its end when the client that asked has gone.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle::face {

class Volumes {
 public:
  virtual ~Volumes() = default;

  //   errors  invalid_argument: an unknown filter, or a value of dangling that is no boolean
  [[nodiscard]] virtual Result<std::vector<storage::Volume>> list(const Filters& filters) const = 0;
  [[nodiscard]] virtual Result<storage::Volume> find(const std::string& name) const = 0;
  // name "": an anonymous one. One that exists is given as it is.
  //   errors  invalid_argument (name, options), conflict (of another driver), not_found (no such
  //           driver)
  virtual Task<storage::Volume> create(std::string name, std::string driver,
                                       std::map<std::string, std::string> options,
                                       std::map<std::string, std::string> labels) = 0;
  //   errors  not_found (not with force); conflict "remove X: volume is in use - [id, id]"
  virtual Task<> remove(std::string name, bool force) = 0;
};

}  // namespace coracle::face
