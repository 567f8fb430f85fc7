// A host, and events: one at once, and the end when the test lets it happen.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/face/system.hpp"
#include "tests/unit/shim/fake/happenings.hpp"

namespace coracle::test {

class FakeSystem final : public face::System {
 public:
  explicit FakeSystem(Happenings& happenings) : happenings_(happenings) {}

  Filters last_filters;

  [[nodiscard]] SystemInfo info() const override;
  Task<std::vector<std::string>> cdi_devices() override;
  Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) override;
  void reloaded(std::map<std::string, std::string> /*settings*/) override {}

 private:
  Happenings& happenings_;
};

}  // namespace coracle::test
