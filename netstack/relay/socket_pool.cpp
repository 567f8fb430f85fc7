#include "netstack/relay/socket_pool.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <memory>

namespace coracle::netstack {
namespace {

UniqueFd make_socket(int type, bool transparent) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fd;
  const int on = 1;
  // bind(2) to an address alone must not take one of the few ports: the client's may be asked for.
  ::setsockopt(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (type == SOCK_STREAM) ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (transparent) ::setsockopt(fd.get(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
  return fd;
}

}  // namespace

UniqueFd SocketPool::take() {
  UniqueFd fd;
  if (!ready_.empty()) {
    fd = std::move(ready_.back());
    ready_.pop_back();
  }
  if (ready_.size() < ahead_ / 2) refill();
  return fd;
}

void SocketPool::refill() {
  if (refilling_) return;
  refilling_ = true;
  const std::size_t missing = ahead_ - ready_.size();
  worker_.post([this, missing, type = type_, transparent = transparent_] {
    auto made = std::make_shared<std::vector<UniqueFd>>();
    for (std::size_t i = 0; i < missing; ++i) {
      auto fd = make_socket(type, transparent);
      if (!fd) break;
      made->push_back(std::move(fd));
    }
    loop_.post([this, made] {
      refilling_ = false;
      for (auto& fd : *made) ready_.push_back(std::move(fd));
      auto waiting = std::move(waiting_);
      waiting_.clear();
      for (auto& f : waiting) f();
    });
  });
}

}  // namespace coracle::netstack
