#include "engine/inspect/usage.hpp"

#include <utility>

#include "engine/inspect/disk_usage.hpp"
#include "engine/inspect/stats.hpp"
#include "engine/inspect/top.hpp"

namespace coracle {

Result<std::unique_ptr<StatsStream>> Usage::stats(const std::string& name, StatsOptions options) {
  TRY(auto c, context_.table.find(name));
  return open_stats(context_, std::move(c), options);
}

Task<ProcessList> Usage::top(std::string name, std::string ps_args) {
  CO_TRY(auto c, context_.table.find(name));
  co_return co_await list_processes(context_, std::move(c), std::move(ps_args));
}

Task<std::map<std::string, ContainerSize>> Usage::container_sizes(std::vector<std::string> ids) {
  return coracle::container_sizes(context_, std::move(ids));
}

Task<DiskUsage> Usage::disk_usage(DiskUsageParts wanted) {
  return coracle::disk_usage(context_, wanted);
}

}  // namespace coracle
