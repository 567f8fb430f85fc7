// This engine and its host, and what happens here.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/result.hpp"
#include "engine/face/filters.hpp"
#include "engine/face/streams.hpp"
#include "engine/face/system_info.hpp"

namespace coracle::face {

class System {
 public:
  virtual ~System() = default;

  [[nodiscard]] virtual SystemInfo info() const = 0;
  // The devices that this host's CDI specifications name now, "vendor.com/class=name", in order.
  virtual Task<std::vector<std::string>> cdi_devices() = 0;
  //   filters  type, event, container, image, volume, network, label, scope, daemon
  virtual Result<std::unique_ptr<EventStream>> events(Time since, Time until, Filters filters) = 0;
  // Told after the settings were read again (SIGHUP), with what they are now: the event `reload`.
  virtual void reloaded(std::map<std::string, std::string> settings) = 0;
};

}  // namespace coracle::face
