// What is used, asked by name: stats, top, ps --size, system df.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/usage.hpp"

namespace coracle {

class Usage final : public face::Usage {
 public:
  explicit Usage(Context& context) : context_(context) {}

  Result<std::unique_ptr<StatsStream>> stats(const std::string& name,
                                             StatsOptions options) override;
  Task<ProcessList> top(std::string name, std::string ps_args) override;
  Task<std::map<std::string, ContainerSize>> container_sizes(std::vector<std::string> ids) override;
  Task<DiskUsage> disk_usage(DiskUsageParts wanted) override;

 private:
  Context& context_;
};

}  // namespace coracle
