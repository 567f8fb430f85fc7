#include "storage/archive/peer_stream.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace coracle::storage {
namespace {

constexpr int kLook_ms = 100;  // how soon the flag is seen

// Waits until the peer has moved.
Result<> wait_for_peer(const UniqueFd& fd, short what, const std::atomic<bool>& stop) {
  while (!stop) {
    pollfd p{fd.get(), what, 0};
    const int n = ::poll(&p, 1, kLook_ms);
    if (n > 0) return {};
    if (n < 0 && errno != EINTR) return sys_error("wait for the client");
  }
  return was_stopped();
}

Result<> write_to(const UniqueFd& fd, std::string_view bytes, const std::atomic<bool>& stop) {
  while (!bytes.empty()) {
    if (stop) return was_stopped();
    const auto n = ::write(fd.get(), bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      CHECK(wait_for_peer(fd, POLLOUT, stop));
    } else if (errno != EINTR) {
      return sys_error("write to the client");
    }
  }
  return {};
}

}  // namespace

Result<std::size_t> PeerSource::read(std::span<char> into) {
  if (failed_) return std::unexpected(*failed_);
  auto n = read_now(into);
  if (!n) failed_ = n.error();
  return n;
}

Result<std::size_t> PeerSource::read_now(std::span<char> into) {
  for (;;) {
    CHECK(wait_for_peer(fd_, POLLIN, stop_));
    auto n = read_some(fd_, into);
    if (!n && n.error().sys == ECONNRESET) return cut_short();
    if (n || n.error().sys != EAGAIN) return n;
  }
}

Result<ArchiveWriter::Sink> peer_sink(const UniqueFd& fd, const std::atomic<bool>& stop) {
  CHECK(set_nonblocking(fd, true));
  return [&fd, &stop](std::string_view bytes) { return write_to(fd, bytes, stop); };
}

}  // namespace coracle::storage
