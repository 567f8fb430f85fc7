#include "engine/base/ipc/channel.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "engine/base/path.hpp"

namespace coracle {
namespace {

constexpr std::size_t kInline = 64 * 1024;
constexpr std::size_t kMaxFds = 32;
constexpr std::size_t kMaxText = std::size_t{64} << 20;

Result<UniqueFd> memfd_of(const std::string& text) {
  UniqueFd fd(::memfd_create("message", MFD_CLOEXEC));
  if (!fd) return sys_error("make a memfd");
  CHECK(write_all(fd, text));
  return fd;
}

Result<std::string> text_of(const UniqueFd& memfd) {
  if (::lseek(memfd.get(), 0, SEEK_SET) != 0) return sys_error("rewind a memfd");
  return read_all(memfd, kMaxText);
}

// A sockaddr for a path of any length: a long one goes through a descriptor of its directory.
struct Address {
  sockaddr_un addr{};
  UniqueFd dir;
};
Result<Address> address_of(const std::string& path) {
  Address a;
  a.addr.sun_family = AF_UNIX;
  std::string shown = path;
  if (shown.size() >= sizeof a.addr.sun_path) {
    TRY(a.dir, open_dir(parent_path(path)));
    shown = proc_path(a.dir) + "/" + base_name(path);
    if (shown.size() >= sizeof a.addr.sun_path) {
      return fail(Errc::invalid_argument, "socket {}: the name of the file is too long", path);
    }
  }
  std::memcpy(a.addr.sun_path, shown.c_str(), shown.size() + 1);
  return a;
}

const sockaddr* generic(const sockaddr_un& addr) {
  return reinterpret_cast<const sockaddr*>(&addr);
}

}  // namespace

Result<> send_message(const UniqueFd& socket, const std::string& text,
                      const std::vector<int>& fds) {
  std::vector<int> all;
  UniqueFd memfd;
  char kind = 'T';
  if (text.size() > kInline) {
    TRY(memfd, memfd_of(text));
    all.push_back(memfd.get());
    kind = 'M';
  }
  all.insert(all.end(), fds.begin(), fds.end());
  if (all.size() > kMaxFds)
    return fail(Errc::invalid_argument, "{} descriptors in one message", all.size());

  std::array<iovec, 2> parts{};
  parts[0] = {&kind, 1};
  // sendmsg does not write to it. See sendmsg(2).
  parts[1] = {const_cast<char*>(text.data()), kind == 'T' ? text.size() : 0};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr m{};
  m.msg_iov = parts.data();
  m.msg_iovlen = parts.size();
  if (!all.empty()) {
    m.msg_control = control.data();
    m.msg_controllen = CMSG_SPACE(all.size() * sizeof(int));
    cmsghdr* c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(all.size() * sizeof(int));
    std::memcpy(CMSG_DATA(c), all.data(), all.size() * sizeof(int));
  }
  for (;;) {
    if (::sendmsg(socket.get(), &m, MSG_NOSIGNAL) >= 0) return {};
    if (errno != EINTR) return sys_error("send a message");
  }
}

Result<> send_message(const UniqueFd& socket, const Message& message) {
  std::vector<int> fds;
  for (const auto& fd : message.fds) fds.push_back(fd.get());
  return send_message(socket, message.text, fds);
}

Result<Message> receive_message(const UniqueFd& socket) {
  // Not kept: a monitor that waits for days would hold 64 KiB for it.
  const auto buffer = std::make_unique_for_overwrite<char[]>(kInline + 1);
  iovec part{buffer.get(), kInline + 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFds * sizeof(int))> control{};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_control = control.data();
  m.msg_controllen = control.size();
  ssize_t n = 0;
  do {
    n = ::recvmsg(socket.get(), &m, MSG_CMSG_CLOEXEC);
  } while (n < 0 && errno == EINTR);
  if (n < 0) return sys_error("receive a message");
  Message out;
  for (cmsghdr* c = CMSG_FIRSTHDR(&m); c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::array<int, kMaxFds> fds{};
    std::memcpy(fds.data(), CMSG_DATA(c), count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) out.fds.emplace_back(fds[i]);
  }
  if (n == 0) return fail(Errc::not_found, "the peer has closed the connection");
  if ((m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    return fail(Errc::invalid_argument, "a message was cut");
  if (buffer[0] == 'M') {
    if (out.fds.empty()) return fail(Errc::invalid_argument, "a message lacks its memfd");
    TRY(out.text, text_of(out.fds.front()));
    out.fds.erase(out.fds.begin());
  } else {
    out.text.assign(buffer.get() + 1, static_cast<std::size_t>(n) - 1);
  }
  return out;
}

Result<UniqueFd> listen_unix(const std::string& path, int type) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return sys_error("make a unix socket");
  TRY(const auto where, address_of(path));
  // The file gets the socket's own mode, less the umask: it is right from the first moment. The
  // umask is the whole process's, and other threads make files meanwhile. See unix(7), fchmod(2).
  if (::fchmod(socket.get(), 0600) != 0) return sys_error("set the mode of a unix socket");
  int bound = ::bind(socket.get(), generic(where.addr), sizeof where.addr);
  if (bound != 0 && errno == EADDRINUSE) {
    struct stat st {};
    const bool is_socket = ::lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode);
    const auto answered = connect_unix(path, type);
    if (is_socket && !answered && answered.error().sys == ECONNREFUSED &&
        ::unlink(path.c_str()) == 0) {
      bound = ::bind(socket.get(), generic(where.addr), sizeof where.addr);
    } else {
      errno = EADDRINUSE;
    }
  }
  const int reason = errno;
  if (bound != 0)
    return std::unexpected(
        make_sys_error(reason, fmt::format("listen on {}", path))
            .as(reason == EADDRINUSE ? Errc::conflict : errc_from_errno(reason)));
  if (::listen(socket.get(), SOMAXCONN) != 0) return sys_error("listen on {}", path);
  return socket;
}

Result<UniqueFd> connect_unix(const std::string& path, int type) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) return sys_error("make a unix socket");
  TRY(const auto where, address_of(path));
  if (::connect(socket.get(), generic(where.addr), sizeof where.addr) != 0)
    return sys_error("connect to {}", path);
  return socket;
}

Result<UniqueFd> accept_connection(const UniqueFd& listener) {
  UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd) return sys_error("accept a connection");
  return fd;
}

}  // namespace coracle
