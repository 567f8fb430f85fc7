// Sockets inside the bridge namespace, made ahead. A socket belongs to the namespace of the thread
// that made it, whoever uses it afterwards: the main thread takes one from here, binds and connects
// it, and no connection waits for another thread.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/worker.hpp"

namespace coracle::netstack {

class SocketPool {
 public:
  //   type    SOCK_STREAM or SOCK_DGRAM; non-blocking, TCP_NODELAY, and with `transparent` allowed
  //           to bind to any address (IP_TRANSPARENT)
  //   worker  its thread is in the bridge namespace
  SocketPool(Loop& loop, Worker& worker, int type, bool transparent, std::size_t ahead)
      : loop_(loop), worker_(worker), type_(type), transparent_(transparent), ahead_(ahead) {
    refill();
  }

  // Empty-handed when none is ready: ask again from when_ready().
  UniqueFd take();
  void when_ready(std::function<void()> function) { waiting_.push_back(std::move(function)); }

 private:
  void refill();

  Loop& loop_;
  Worker& worker_;
  int type_;
  bool transparent_;
  std::size_t ahead_;
  std::vector<UniqueFd> ready_;
  std::vector<std::function<void()>> waiting_;
  bool refilling_ = false;
};

}  // namespace coracle::netstack
