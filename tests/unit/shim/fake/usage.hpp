// What the containers of a test use: always the same.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/face/usage.hpp"

namespace coracle::test {

class FakeUsage final : public face::Usage {
 public:
  std::string last;  // "top web -ef"
  std::vector<DiskUsage::ImageUse> image_uses;

  Result<std::unique_ptr<StatsStream>> stats(const std::string& name, StatsOptions) override {
    return fail(Errc::not_found, "No such container: {}", name);
  }
  Task<ProcessList> top(std::string name, std::string ps_args) override {
    last = "top " + name + " " + ps_args;
    ProcessList list;
    list.titles = {"PID", "CMD"};
    list.rows = {{"1", "sh"}};
    co_return list;
  }
  Task<std::map<std::string, ContainerSize>> container_sizes(
      std::vector<std::string> ids) override {
    std::map<std::string, ContainerSize> sizes;
    for (const auto& id : ids) sizes[id] = ContainerSize{7, 1007};
    co_return sizes;
  }
  Task<DiskUsage> disk_usage(DiskUsageParts) override {
    DiskUsage usage;
    usage.images = image_uses;
    usage.layers = 5;
    co_return usage;
  }
};

}  // namespace coracle::test
