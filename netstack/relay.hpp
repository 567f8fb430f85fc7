// Relays: two TCP sockets joined, both ways, by splice(2) through pipes, so that no byte is copied
// into this process. Half-close is forwarded; a full receiver stops the sender, since a pipe holds
// only so much; a connection that breaks on one side is reset on the other.
//
// Sockets are watched edge-triggered, with one epoll_ctl each. Pipes are held only while data is in
// them: thousands of idle connections cost two descriptors each.
#pragma once

#include <cstddef>
#include <list>
#include <vector>

#include "netstack/loop.hpp"

namespace coracle::netstack {

class Relay;

class Relays {
 public:
  explicit Relays(Loop& loop) : loop_(loop) {}
  ~Relays();
  Relays(const Relays&) = delete;
  Relays& operator=(const Relays&) = delete;

  // Both non-blocking. `near` stands; `far` may still be connecting: when that fails, `near` is
  // reset.
  void join(UniqueFd near, UniqueFd far);
  [[nodiscard]] std::size_t count() const { return relays_.size(); }

 private:
  friend class Relay;
  Result<Pipe> take_pipe();
  void give_pipe(Pipe pipe);
  void again(Relay* relay);  // once more, after the others
  void end(Relay* relay);

  Loop& loop_;
  std::list<Relay*> relays_;
  std::vector<Pipe> pipes_;  // empty ones
  std::vector<Relay*> again_;
};

// Closes with RST instead of FIN.
void reset_connection(UniqueFd socket);

}  // namespace coracle::netstack
