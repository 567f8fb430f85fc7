#include "shim/http/server.hpp"

#include <sys/resource.h>

#include <unordered_set>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/log.hpp"

namespace coracle::http {
namespace {

constexpr std::size_t kReserve = 32;     // descriptors for the engine's own work
constexpr std::size_t kAlwaysOpen = 48;  // about what an engine with some containers holds open

std::size_t connection_budget() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 65536;
  const auto all = static_cast<std::size_t>(limit.rlim_cur);
  return all > 2 * (kReserve + kAlwaysOpen) ? all - kReserve - kAlwaysOpen : all / 2;
}

}  // namespace

struct Server::State {
  State(asio::io_context& loop, const Router& routes, Limits l, std::size_t most)
      : io(loop),
        router(routes),
        limits(l),
        budget(most),
        accepting(loop),
        scope(loop),
        one_less(loop) {}

  Coro<void> accept_from(UniqueFd listener);
  Coro<void> serve(std::shared_ptr<Connection> connection);

  asio::io_context& io;
  const Router& router;
  Limits limits;
  std::size_t budget;
  bool stopping = false;
  std::unordered_set<std::shared_ptr<Connection>> open;
  Scope accepting;
  Scope scope;  // connections, and what runs beside them
  Signal one_less;
};

Server::Server(asio::io_context& io, const Router& router, Limits limits,
               std::size_t most_connections)
    : state_(std::make_unique<State>(
          io, router, limits, most_connections != 0 ? most_connections : connection_budget())) {}
Server::~Server() = default;

void Server::listen(UniqueFd listener) {
  state_->accepting.start("accept", state_->accept_from(std::move(listener)));
}

std::size_t Server::connections() const { return state_->open.size(); }

Coro<void> Server::State::accept_from(UniqueFd listener) {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!stopping) {
    if (open.size() >= budget) {
      log::debug("connections at their limit of {}: accept waits", budget);
      co_await one_less.wait();
      continue;
    }
    auto socket = accept_connection(listener);
    if (socket) {
      auto connection = make_connection(io, scope, router, limits, *std::move(socket));
      open.insert(connection);
      scope.start("connection", serve(std::move(connection)));
      continue;
    }
    const int sys = socket.error().sys;
    if (sys == EAGAIN) {
      const auto ready = co_await wait_readable(io, listener);
      if (!ready && !stopping) {
        // No descriptor left even for waiting.
        co_await sleep_for(io, std::chrono::milliseconds(100));
      }
    } else if (sys == ECONNABORTED || sys == EINTR) {
      continue;
    } else {
      log::warn("accept waits reason={}", socket.error().message);
      co_await sleep_for(io, std::chrono::milliseconds(200));
    }
  }
}

Coro<void> Server::State::serve(std::shared_ptr<Connection> connection) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await connection->run(connection);
  open.erase(connection);
  one_less.notify_all();
}

Coro<void> Server::shut_down(std::chrono::milliseconds grace) {
  State& s = *state_;
  s.stopping = true;
  co_await s.accepting.close();
  const auto copy = s.open;
  for (const auto& connection : copy) connection->stop(false);
  const auto end = std::chrono::steady_clock::now() + grace;
  while (!s.open.empty() && std::chrono::steady_clock::now() < end)
    co_await s.one_less.wait_for(std::chrono::milliseconds(100));
  const auto rest = s.open;
  for (const auto& connection : rest) connection->stop(true);
  co_await s.scope.close();
}

}  // namespace coracle::http
