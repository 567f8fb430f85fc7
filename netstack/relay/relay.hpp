// Relays: two TCP sockets joined, both ways, by splice(2) through pipes, so that no byte is copied
// into this process. Half-close is forwarded; a full receiver stops the sender, since a pipe holds
// only so much; a connection that breaks on one side is reset on the other.
//
// Sockets are watched edge-triggered, with one epoll_ctl each. Pipes are held only while data is in
// them: thousands of idle connections cost two descriptors each.
//
// A connection belongs to the container that it comes from or goes to. When that ends, what it has
// sent may still be on its way to the other side for a second; then both sides are reset.
#pragma once

#include <cstddef>
#include <list>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/shares.hpp"

namespace coracle::netstack {

class Relay;

class Relays {
 public:
  Relays(Loop& loop, Shares& shares);
  ~Relays();
  Relays(const Relays&) = delete;
  Relays& operator=(const Relays&) = delete;

  // Both non-blocking. `near` stands; `far` may still be connecting: when that fails, `near` is
  // reset.   charge  kDescriptors of its container; pipes come to it while they hold data
  void join(UniqueFd near, UniqueFd far, Charge charge);
  static constexpr std::size_t kDescriptors = 2;
  [[nodiscard]] std::size_t count() const { return relays_.size(); }

 private:
  friend class Relay;
  void end_all_of(const TenantPtr& tenant);
  Result<Pipe> take_pipe();
  void give_pipe(Pipe pipe);
  void again(Relay* relay);  // once more, after the others
  void round();
  void end(Relay* relay);

  Loop& loop_;
  std::list<Relay*> relays_;
  std::vector<Pipe> pipes_;  // empty ones
  std::vector<Relay*> again_;
  Loop::Timer next_round_;
  std::list<Loop::Timer> farewells_;  // one for each container that has just ended
};

// Closes with RST instead of FIN.
void reset_connection(UniqueFd socket);

}  // namespace coracle::netstack
