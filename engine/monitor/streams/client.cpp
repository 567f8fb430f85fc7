#include "engine/monitor/streams/client.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>

namespace coracle::monitor {
namespace {

// After the end: a client that takes nothing of what waits for it for this long has lost the rest;
// one that has got everything gets this long to close its side.
constexpr int kEndStalled_ms = 5000;
constexpr int kClosing_ms = 300;
// What did not fit into the socket's buffer at the end may go there, so that no process has to
// wait for a reader: the kernel grants up to net.core.wmem_max. See socket(7).
constexpr int kEndBuffer = 1 << 20;

constexpr std::size_t kHeader = 8;
std::array<char, kHeader> header_of(Stream stream, std::size_t n) {
  return {static_cast<char>(stream),
          0,
          0,
          0,
          static_cast<char>(n >> 24U),
          static_cast<char>(n >> 16U),
          static_cast<char>(n >> 8U),
          static_cast<char>(n)};
}

}  // namespace

Result<> Client::open() {
  CHECK(set_nonblocking(socket_, true));
  TRY(watch_, loop_.watch(socket_, 0, [this](std::uint32_t events) { ready(events); }));
  update();
  return {};
}

bool Client::wants(Stream stream) const { return stream == Stream::out ? what_.out : what_.err; }

void Client::deliver(Stream stream, std::string_view data) {
  if (!socket_ || finishing_ || data.empty() || !wants(stream)) return;
  auto header = header_of(stream, data.size());
  const std::size_t header_size = framed_ ? kHeader : 0;
  std::size_t sent = 0;
  if (pending_.empty()) {
    // sendmsg does not write to what it sends.
    std::array<iovec, 2> parts{iovec{header.data(), header_size},
                               iovec{const_cast<char*>(data.data()), data.size()}};
    msghdr m{};
    m.msg_iov = parts.data();
    m.msg_iovlen = parts.size();
    const ssize_t n = ::sendmsg(socket_.get(), &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return gone();
    sent = n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  if (pending_.empty()) blocked_since_ = std::chrono::steady_clock::now();
  if (sent < header_size) {
    pending_.append(header.data() + sent, header_size - sent);
    sent = header_size;
  }
  pending_ += data.substr(sent - header_size);
  if (blocked()) update();
}

void Client::hold_input(bool hold) {
  if (held_ == hold) return;
  held_ = hold;
  update();
}

void Client::update() {
  if (!watch_) return;
  std::uint32_t events = 0;
  if (!input_ended_ && (!held_ || finishing_)) events |= EPOLLIN;
  if (!pending_.empty()) events |= EPOLLOUT;
  watch_.change(events);
}

void Client::ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    flush();
    if (!socket_) return;
  }
  if ((events & EPOLLIN) != 0 && !input_ended_) return read_input();
  // Input that is there is read first, also of one that has closed both sides.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && !(held_ && !input_ended_ && !finishing_))
    return gone();
  // Held input of a client that has gone: epoll would report it without end.
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) watch_.pause();
}

void Client::read_input() {
  const auto n = read_some(socket_, scratch_);
  if (!n) {
    if (n.error().sys != EAGAIN) gone();
    return;
  }
  if (*n == 0) {
    input_ended_ = true;
    update();
    if (end_sent_) return gone();
    if (!finishing_) owner_.client_input_ended(*this);
    return;
  }
  // After the end it is read only so that closing does not reset the connection under the reader.
  if (!finishing_ && what_.in) owner_.client_sent(*this, {scratch_.data(), *n});
}

void Client::flush() {
  while (!pending_.empty()) {
    const ssize_t n =
        ::send(socket_.get(), pending_.data(), pending_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) return gone();
    pending_.erase(0, static_cast<std::size_t>(n));
    if (finishing_) give_up_after(kEndStalled_ms);
  }
  update();
  if (!pending_.empty()) return;
  pending_ = {};
  if (finishing_) return send_end();
  owner_.client_drained(*this);
}

void Client::finish() {
  if (finishing_ || !socket_) return;
  finishing_ = true;
  if (pending_.empty()) return send_end();
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUF, &kEndBuffer, sizeof kEndBuffer);
  give_up_after(kEndStalled_ms);
  flush();
}

void Client::send_end() {
  end_sent_ = true;
  ::shutdown(socket_.get(), SHUT_WR);
  if (input_ended_) return gone();
  update();
  give_up_after(kClosing_ms);
}

void Client::give_up_after(int ms) {
  patience_ = loop_.after(std::chrono::milliseconds(ms), [this] { gone(); });
}

void Client::gone() {
  if (!socket_) return;
  close();
  owner_.client_gone(*this);
}

void Client::close() {
  patience_.reset();
  watch_.reset();
  socket_.reset();
  pending_ = {};
}

}  // namespace coracle::monitor
