// One client's connection: reads requests, one after the other, has the router answer them, writes
// the answers. An idle connection holds a socket and no buffer.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "shim/http/router.hpp"

namespace coracle::http {

struct Limits {
  std::size_t head = std::size_t{64} << 10;
  std::chrono::milliseconds patience{60'000};  // for a head or a JSON body that has begun
  // For the next byte of an archive that is sent to us, and for an archive's reader to take one.
  std::chrono::milliseconds stall{300'000};
};

class Connection {
 public:
  virtual ~Connection() = default;
  // Serves until either side ends; `self` keeps it alive.
  virtual Coro<void> run(std::shared_ptr<Connection> self) = 0;
  // Ends it: at once when it is idle or streaming, else after the answer that is being made (with
  // `now`: in any case).
  virtual void stop(bool now) = 0;
};

std::shared_ptr<Connection> make_connection(asio::io_context& io, Scope& scope,
                                            const Router& router, Limits limits, UniqueFd socket);

}  // namespace coracle::http
