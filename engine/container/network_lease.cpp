#include "engine/container/network_lease.hpp"

#include "engine/base/log.hpp"

namespace coracle {
namespace {

Coro<void> detach(netstack::Client& client, std::string id) {
  auto done = co_await client.detach(id);
  // netstack forgets what nobody names at the next start of the daemon (keep).
  if (!done) log::warn("network not released id={} reason={}", id, done.error().message);
}

}  // namespace

NetworkLease& NetworkLease::operator=(NetworkLease&& other) noexcept {
  if (this != &other) {
    drop();
    client_ = std::exchange(other.client_, nullptr);
    scope_ = other.scope_;
    id_ = std::move(other.id_);
  }
  return *this;
}

void NetworkLease::drop() {
  if (client_ != nullptr)
    scope_->start("detach network", detach(*std::exchange(client_, nullptr), id_));
}

Task<> NetworkLease::release() {
  if (client_ == nullptr) co_return Result<>{};
  co_return co_await std::exchange(client_, nullptr)->detach(id_);
}

}  // namespace coracle
