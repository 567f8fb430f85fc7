// Answers the engine on <exec-root>/netstack.sock (netstack/protocol.hpp).
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/ipc/channel.hpp"
#include "netstack/endpoints.hpp"
#include "netstack/protocol.hpp"

namespace coracle::netstack {

class Server {
 public:
  //   errors  conflict: another netstack answers there
  static Result<std::unique_ptr<Server>> make(Loop& loop, const std::string& socket,
                                              Endpoints& endpoints, BridgeInfo bridge);
  // Another keeper gives its vault (netstack/takeover.hpp); it has been answered.
  void on_adoption(std::function<void(UniqueFd vault)> function) { adopt_ = std::move(function); }

 private:
  struct Connection {
    UniqueFd socket;
    Loop::Watch watch;
    std::list<std::shared_ptr<Connection>>::iterator place;
  };
  using ConnectionPtr = std::shared_ptr<Connection>;
  Server(Loop& loop, Endpoints& endpoints, BridgeInfo bridge)
      : loop_(loop), endpoints_(endpoints), bridge_(std::move(bridge)) {}
  void accept();
  void on_message(const ConnectionPtr& from);
  void handle(const ConnectionPtr& from, Request request, Message message);
  // Answers an attach, when it is done.
  OnAttached answer_to(const ConnectionPtr& whom, std::uint64_t seq);
  void send(const ConnectionPtr& to, const Reply& reply, const std::vector<int>& fds);
  void close(const ConnectionPtr& which);

  Loop& loop_;
  Endpoints& endpoints_;
  BridgeInfo bridge_;
  UniqueFd listener_;
  Loop::Watch watch_;
  Loop::Timer resume_;
  std::list<ConnectionPtr> connections_;
  std::function<void(UniqueFd)> adopt_;
};

}  // namespace coracle::netstack
