// Our end of the spawner (monitor/spawner.hpp): a monitor of a new container is a copy of it. Where
// it cannot be reached, a monitor is started as a program of its own, and the spawner anew.
#pragma once

#include <memory>
#include <string>

#include "engine/base/async.hpp"
#include "engine/base/process.hpp"
#include "engine/container/monitor_link.hpp"

namespace coracle {

class MonitorSpawner {
 public:
  MonitorSpawner(asio::io_context& io, Scope& scope) : io_(io), scope_(scope) {}

  // Starts the spawner, so that the first container need not wait for it. One that does not start
  // is logged, and tried again.
  void open(std::string program);
  // A monitor that waits for `create`.
  Result<std::shared_ptr<MonitorLink>> spawn();

 private:
  Result<> start();
  Result<std::shared_ptr<MonitorLink>> ask();
  void reap();

  asio::io_context& io_;
  Scope& scope_;
  std::string program_;
  UniqueFd socket_;  // empty: there is none
  Pidfd process_;
};

}  // namespace coracle
