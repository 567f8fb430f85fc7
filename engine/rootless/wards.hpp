// The keeper's part of a container's end: each monitor holds a connection, with which it has sent
// descriptors of its container (protocol.hpp, op watch). When the connection ends without a word,
// the monitor was killed, and the container is ended: its first process, and of one without a pid
// namespace of its own whatever is in its other namespaces. Costs no process a container, and works
// while no daemon runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/process/members.hpp"
#include "engine/base/result.hpp"

namespace coracle::rootless {

class Wards {
 public:
  using Clock = std::chrono::steady_clock;

  Result<> open();
  // Readable when a monitor has something to say, or has gone.
  [[nodiscard]] const UniqueFd& ready() const { return epoll_; }
  // From here on `connection` is ours, but for an error.
  //   errors  invalid_argument: the descriptors are not what was agreed on; unavailable: too many
  Result<> add(UniqueFd& connection, std::vector<UniqueFd> fds);
  // Ends what has lost its monitor. Does not block: what is not ended at once is gone on with at
  // due().
  void serve(Clock::time_point now);
  [[nodiscard]] std::optional<Clock::time_point> due() const;
  // Nobody is watched, and nothing is being ended.
  [[nodiscard]] bool idle() const { return wards_.empty() && ending_.empty(); }

 private:
  struct Ward {
    UniqueFd connection;
    UniqueFd init;  // a pidfd
    OwnNamespaces namespaces;
    Sweep sweep;
    Clock::time_point give_up{};  // when its monitor has gone
  };
  void end(Ward ward, Clock::time_point now);
  void go_on(Clock::time_point now);

  UniqueFd epoll_;
  std::map<std::uint64_t, Ward> wards_;
  std::vector<Ward> ending_;
  Clock::time_point next_round_{};
  std::uint64_t next_id_ = 1;
};

}  // namespace coracle::rootless
