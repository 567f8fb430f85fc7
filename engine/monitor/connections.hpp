// The engines that talk to this monitor: the control descriptor it was started with, and whoever
// connects to monitor.sock later. All are equal and all get the events; a connection that cannot
// take its messages at once has them queued.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle::monitor {

class Connections {
 public:
  using Id = std::uint64_t;
  struct Handlers {
    std::function<void(Id, Request, std::vector<UniqueFd>)> request;
    std::function<void()> none_left;  // the last connection has closed
  };
  Connections(Loop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  Result<> adopt(UniqueFd socket);
  Result<> listen(const std::string& path);
  // Sends to one; ignored when it has closed meanwhile.
  void send(Id to, const Answer& answer);
  void broadcast(const Answer& answer);
  [[nodiscard]] bool empty() const { return open_.empty(); }
  // Closes all, and removes the socket's file.
  void close();

 private:
  struct Connection {
    UniqueFd socket;
    Loop::Watch watch;  // goes before the socket
    std::deque<std::string> waiting;
    bool deaf = false;  // takes nothing any more
  };
  void accept();
  void ready(Id id, std::uint32_t events);
  void receive(Id id);
  void flush(Id id);
  void drop(Id id);

  Loop& loop_;
  Handlers handlers_;
  UniqueFd listener_;
  Loop::Watch listener_watch_;
  std::string path_;
  Id next_ = 1;
  std::map<Id, std::unique_ptr<Connection>> open_;
};

}  // namespace coracle::monitor
