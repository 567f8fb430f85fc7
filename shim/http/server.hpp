// The listening side: accepts on one or several unix sockets, as many connections as descriptors
// allow (a reserve stays for the engine's own work; beyond it accept waits), and ends gracefully.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "shim/http/connection.hpp"
#include "shim/http/router.hpp"

namespace coracle::http {

class Server {
 public:
  // most_connections 0: computed from RLIMIT_NOFILE. The router must outlive the server.
  Server(asio::io_context& io, const Router& router, Limits limits = {},
         std::size_t most_connections = 0);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void listen(UniqueFd listener);
  [[nodiscard]] std::size_t connections() const;
  // No new connection or request; streams end now, answers that are being made get up to `grace`.
  Coro<void> shut_down(std::chrono::milliseconds grace);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace coracle::http
