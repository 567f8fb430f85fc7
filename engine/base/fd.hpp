// Descriptors with an owner. Raw int descriptors end in base.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/result.hpp"

namespace coracle {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
// pipe2(2) with O_CLOEXEC | flags.
Result<Pipe> make_pipe(int flags = 0);

struct SocketPair {
  UniqueFd a;
  UniqueFd b;
};
// socketpair(2), AF_UNIX, of type SOCK_STREAM or SOCK_SEQPACKET; SOCK_CLOEXEC is added.
Result<SocketPair> make_socket_pair(int type);

// fcntl(2) F_DUPFD_CLOEXEC.
Result<UniqueFd> duplicate(const UniqueFd& fd);
// Sets or clears O_NONBLOCK. The flag belongs to the open file: other owners of a duplicate see it.
Result<> set_nonblocking(const UniqueFd& fd, bool on);
// Lets the descriptor survive execve(2) (on = true clears FD_CLOEXEC).
Result<> set_inheritable(const UniqueFd& fd, bool on);

// Writes all of it to a blocking descriptor, over EINTR and short writes.
//   errors  of write(2); EPIPE arrives as an error since all our processes ignore SIGPIPE
Result<> write_all(const UniqueFd& fd, std::string_view data);
// Reads once, over EINTR. 0 is the end. EAGAIN is an error whose `sys` tells.
Result<std::size_t> read_some(const UniqueFd& fd, std::span<char> into);
// Reads to the end. errors: invalid_argument when there is more than `limit`.
Result<std::string> read_all(const UniqueFd& fd, std::size_t limit);

}  // namespace coracle
