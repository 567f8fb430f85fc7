// coracle-monitor's work for the engine: requests in, answers and events out, as protocol.hpp tells
// it. What a request does to the container stands in container; here is who is answered, and
// what has to be acknowledged before streams end.
//
//   a process ends ─▶ exit.json (the container's) ─▶ event to every connection, sent again to
//   whoever says hello ─▶ ack | kAckWait_ms | nobody connected ─▶ its streams end
//   (the container's: all of them; then the mounts go, and the monitor ends)
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/monitor/connections.hpp"
#include "engine/monitor/container.hpp"
#include "engine/monitor/protocol.hpp"

namespace coracle::monitor {

class Session {
 public:
  explicit Session(Loop& loop);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Works until the container's end, or until nobody is left who could ask for one. Signals are
  // set up here: the process is the monitor's from now on.
  Result<> run(UniqueFd control);

 private:
  struct Unacknowledged {
    Answer event;
    Loop::Timer patience;
  };

  Result<> set_up_signals();
  void request(Connections::Id from, Request request, std::vector<UniqueFd> fds);
  Result<> carry_out(Request::What& what, std::vector<UniqueFd>& fds, Answer& answer);
  Result<> create(Create create, std::vector<UniqueFd> fds, Answer& answer);
  void say_hello(Connections::Id to, Answer& answer);
  void ended(const Ended& what);
  void record(const Ended& what);
  void acknowledge(std::uint64_t n);
  void settle(std::uint64_t n);
  void settle_overdue();
  void nobody_left();
  void end();

  Loop& loop_;
  Connections connections_;
  Container container_;
  UniqueFd signals_;
  Loop::Watch signals_watch_;
  std::uint64_t last_event_ = 0;
  std::map<std::uint64_t, Unacknowledged> unacknowledged_;
  std::int32_t exit_code_ = 0;  // the container's, once stopped
  bool recorded_ = true;        // exit.json is written, or there is none to write
  int record_tries_ = 0;
  Loop::Timer record_again_;
  bool ending_ = false;
};

}  // namespace coracle::monitor
