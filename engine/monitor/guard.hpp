// What ends a container whose monitor was killed: nobody would see its end, and its output goes
// nowhere. A signal that the kernel sends by itself (PR_SET_PDEATHSIG) can be switched off inside;
// so the keeper is asked to do it (engine/rootless/wards). It is told by a connection that stays
// open as long as we live, and carries descriptors of what is to be ended.
#pragma once

#include <chrono>
#include <string>

#include "engine/base/epoll_loop.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/process/members.hpp"
#include "engine/base/process/process.hpp"

namespace coracle::monitor {

class Guard {
 public:
  explicit Guard(Loop& loop) : loop_(loop) {}
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

  // Asks the keeper that listens at `socket`, and the next one should it be replaced. One that does
  // not listen now, or has not the means, is no error: the daemon sees to it as well.
  //   namespaces  of a container without a pid namespace of its own; outlives us
  void begin(const std::string& socket, const Pidfd& init, const OwnNamespaces& namespaces);
  // The container has ended: nothing is to be done any more, and the keeper holds nothing of it.
  void end();

 private:
  void ask();
  void again();
  void heard();

  Loop& loop_;
  std::string path_;
  UniqueFd init_;
  const OwnNamespaces* namespaces_ = nullptr;
  UniqueFd socket_;
  Loop::Watch watch_;  // behind socket_: destroyed before it
  Loop::Timer retry_;
  std::chrono::milliseconds delay_{0};
};

}  // namespace coracle::monitor
