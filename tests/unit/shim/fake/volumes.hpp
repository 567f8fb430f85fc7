// No volumes, of which one may be made.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/face/volumes.hpp"

namespace coracle::test {

class FakeVolumes final : public face::Volumes {
 public:
  std::string last;  // "rm x true"

  [[nodiscard]] Result<std::vector<storage::Volume>> list(const Filters&) const override {
    return std::vector<storage::Volume>{};
  }
  [[nodiscard]] Result<storage::Volume> find(const std::string& name) const override {
    return fail(Errc::not_found, "get {}: no such volume", name);
  }
  Task<storage::Volume> create(std::string name, std::string driver,
                               std::map<std::string, std::string> /*options*/,
                               std::map<std::string, std::string> /*labels*/) override {
    storage::Volume v;
    v.name = std::move(name);
    v.driver = driver.empty() ? "local" : std::move(driver);
    co_return v;
  }
  Task<> remove(std::string name, bool force) override {
    last = fmt::format("rm {} {}", name, force);
    co_return Result<>{};
  }
};

}  // namespace coracle::test
