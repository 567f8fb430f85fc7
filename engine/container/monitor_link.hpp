// Our end of a monitor's socket: requests with their replies, and the monitor's events.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle {

class MonitorLink : public std::enable_shared_from_this<MonitorLink> {
 public:
  // Called on the loop, in the order of the messages.
  struct Handlers {
    std::function<void(const monitor::Answer&)> event;
    std::function<void()> lost;  // the monitor has ended, or the connection broke
  };

  // Starts a coracle-monitor in a session of its own; it waits for `create`.
  static Result<std::shared_ptr<MonitorLink>> spawn(asio::io_context& io, Scope& scope,
                                                    const std::string& program);
  // One that a spawner is about to make: it has the other end of `socket`, which does not block.
  static std::shared_ptr<MonitorLink> adopt(asio::io_context& io, Scope& scope, UniqueFd socket);
  // Joins one that runs.   errors  of connect_unix
  static Result<std::shared_ptr<MonitorLink>> connect(asio::io_context& io, Scope& scope,
                                                      const std::string& socket_path);
  MonitorLink(asio::io_context& io, UniqueFd socket, pid_t child);
  ~MonitorLink();
  MonitorLink(const MonitorLink&) = delete;
  MonitorLink& operator=(const MonitorLink&) = delete;

  // What was heard before there were handlers is told to them at once.
  void set_handlers(Handlers handlers);
  // Sends it and waits for the reply.
  //   errors  the monitor's own, by their code; unavailable when it has gone
  Task<monitor::Answer> request(monitor::Request::What what, std::vector<UniqueFd> fds = {});
  // Says that an exit is saved. No reply.
  void acknowledge(std::uint64_t n);
  // Lets go of the monitor; it runs on. `lost` is not called.
  void close();
  // Its container has ended: no handler is called any more, and the monitor is reaped when it ends.
  void forget();
  // Its container never began: it is told to undo what it did and to end; then as forget().
  void abandon();
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  // Nothing: the monitor has gone.
  using Reply = OneShot<std::optional<monitor::Answer>>;
  static Coro<void> read(std::shared_ptr<MonitorLink> self);
  void born(const monitor::Answer& answer);
  void answer_all_with_nothing();
  void heard(monitor::Answer answer);
  void ended();
  Task<> send(Message message);
  void tell(monitor::Request::What what);  // without waiting

  asio::io_context& io_;
  UniqueFd socket_;
  asio::posix::stream_descriptor ready_;  // the same descriptor, for waiting
  pid_t child_ = 0;                       // ours to reap; 0: not yet known, or not ours
  std::uint64_t seq_ = 0;
  std::map<std::uint64_t, std::shared_ptr<Reply>> waiting_;
  Handlers handlers_;
  std::vector<monitor::Answer> early_;
  bool closed_ = false;
  bool lost_ = false;
  bool forgotten_ = false;
};

}  // namespace coracle
