// What is used: of a container at a moment, and on disk.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/result.hpp"
#include "engine/face/disk_usage.hpp"
#include "engine/face/stats.hpp"

namespace coracle::face {

class Usage {
 public:
  virtual ~Usage() = default;

  virtual Result<std::unique_ptr<StatsStream>> stats(const std::string& name,
                                                     StatsOptions options) = 0;
  //   ps_args  of ps(1); "" is -ef
  //   errors   conflict (not running), ps's own
  virtual Task<ProcessList> top(std::string name, std::string ps_args) = 0;
  // By id; a container that is gone meanwhile, or cannot be read, is left out.
  virtual Task<std::map<std::string, ContainerSize>> container_sizes(
      std::vector<std::string> ids) = 0;
  virtual Task<DiskUsage> disk_usage(DiskUsageParts wanted) = 0;
};

}  // namespace coracle::face
