// What is to be told of this host and this engine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.hpp"
#include "engine/face/system.hpp"

namespace coracle {

// Asked once, at open.
Result<HostFacts> look_at_host(const std::string& data_root);

class System final : public face::System {
 public:
  explicit System(Context& context) : context_(context) {}

  [[nodiscard]] SystemInfo info() const override;
  Task<std::vector<std::string>> cdi_devices() override;
  Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) override;
  void reloaded(std::map<std::string, std::string> settings) override;

 private:
  Context& context_;
};

}  // namespace coracle
