#include "engine/monitor/guard.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <vector>

#include "engine/base/ipc/channel.hpp"

namespace coracle::monitor {
namespace {

constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::milliseconds kLongestDelay{5000};
constexpr int kLetGo_ms = 500;

// As the keeper reads them (engine/rootless/protocol.hpp).
constexpr const char* kWatch = R"({"op":"watch","version":3})";
constexpr const char* kDone = R"({"op":"done"})";

}  // namespace

void Guard::begin(const std::string& socket, const Pidfd& init, const OwnNamespaces& namespaces) {
  auto copy = duplicate(init.fd());
  if (!copy) return;
  path_ = socket;
  init_ = *std::move(copy);
  namespaces_ = &namespaces;
  ask();
}

void Guard::ask() {
  auto socket = connect_unix(path_, SOCK_SEQPACKET);
  if (!socket) return again();
  std::vector<int> fds{init_.get()};
  for (const int fd : namespaces_->fds()) fds.push_back(fd);
  if (!send_message(*socket, kWatch, fds) || !set_nonblocking(*socket, true)) return again();
  auto watch = loop_.watch(*socket, EPOLLIN, [this](std::uint32_t) { heard(); });
  if (!watch) return again();
  socket_ = *std::move(socket);
  watch_ = *std::move(watch);
}

void Guard::again() {
  delay_ = std::clamp(delay_ * 2, kFirstDelay, kLongestDelay);
  retry_ = loop_.after(delay_, [this] { ask(); });
}

// It says nothing but that it does not know of this (one of an older coracle), or ends.
void Guard::heard() {
  const auto message = receive_message(socket_);
  if (!message && message.error().sys == EAGAIN) return;
  watch_.reset();
  socket_.reset();
  if (!message) again();
}

void Guard::end() {
  retry_.reset();
  watch_.reset();
  if (socket_ && send_message(socket_, kDone, {})) {
    // Its mounts are ours to take down, and are when nobody else holds one of its namespaces.
    pollfd closed{socket_.get(), 0, 0};
    if (!namespaces_->empty()) ::poll(&closed, 1, kLetGo_ms);
  }
  socket_.reset();
  init_.reset();
}

}  // namespace coracle::monitor
