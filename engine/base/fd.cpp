#include "engine/base/fd.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace coracle {

void UniqueFd::reset(int fd) {
  // EINTR included: Linux has released the descriptor all the same. See close(2).
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<Pipe> make_pipe(int flags) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC | flags) != 0) return sys_error("make a pipe");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<SocketPair> make_socket_pair(int type) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0)
    return sys_error("make a socket pair");
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> duplicate(const UniqueFd& fd) {
  const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return sys_error("duplicate a descriptor");
  return UniqueFd(copy);
}

Result<> set_nonblocking(const UniqueFd& fd, bool on) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return sys_error("read the flags of a descriptor");
  if (::fcntl(fd.get(), F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) != 0) {
    return sys_error("set the flags of a descriptor");
  }
  return {};
}

Result<> set_inheritable(const UniqueFd& fd, bool on) {
  if (::fcntl(fd.get(), F_SETFD, on ? 0 : FD_CLOEXEC) != 0) return sys_error("set close-on-exec");
  return {};
}

Result<> write_all(const UniqueFd& fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = ::write(fd.get(), data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return sys_error("write");
    data.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<std::size_t> read_some(const UniqueFd& fd, std::span<char> into) {
  for (;;) {
    const ssize_t n = ::read(fd.get(), into.data(), into.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) return sys_error("read");
  }
}

Result<std::string> read_all(const UniqueFd& fd, std::size_t limit) {
  std::string out;
  std::array<char, 16384> buffer{};
  for (;;) {
    TRY(const std::size_t n, read_some(fd, buffer));
    if (n == 0) return out;
    if (out.size() + n > limit) return fail(Errc::invalid_argument, "more than {} bytes", limit);
    out.append(buffer.data(), n);
  }
}

}  // namespace coracle
