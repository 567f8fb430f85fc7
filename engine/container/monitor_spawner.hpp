// Our end of the spawner (monitor/spawner.hpp): a monitor of a new container is a copy of it. Where
// it cannot be reached, a monitor is started as a program of its own, and the spawner anew. What a
// container sees of the program (/proc/PID/exe of a process that is about to become the
// container's) is a file that cannot be written.
#pragma once

#include <memory>
#include <string>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/container/monitor_link.hpp"

namespace coracle {

class MonitorSpawner {
 public:
  MonitorSpawner(asio::io_context& io, Scope& scope) : io_(io), scope_(scope) {}

  // Starts the spawner, so that the first container need not wait for it. One that does not start
  // is logged, and tried again.
  void open(const std::string& program);
  // A monitor that waits for `create`.
  Result<std::shared_ptr<MonitorLink>> spawn();

 private:
  Result<> seal();
  Result<> start();
  Result<std::shared_ptr<MonitorLink>> ask();
  void reap();

  asio::io_context& io_;
  Scope& scope_;
  std::string path_;
  UniqueFd sealed_;  // the program, so that no container can write it (base/process/sealed_program)
  std::string program_;  // what it is executed as
  UniqueFd socket_;      // empty: there is none
  Pidfd process_;
};

}  // namespace coracle
