// What netstack can no longer do once its filter stands. Each attempt runs in a process of its own
// that has put on the filter, and answers with the errno.
#include "netstack/sandbox.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <functional>

#include <gtest/gtest.h>

namespace coracle::netstack {
namespace {

constexpr int kNoFilter = 250;

// The errno of the attempt, 0 when it was allowed.
int inside(const std::function<long()>& attempt) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (!forbid_system_calls()) ::_exit(kNoFilter);
    ::_exit(attempt() < 0 ? errno : 0);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "the sanitizers need other system calls";
#endif
  }
};

TEST_F(Sandbox, SendsNoSignalToAnotherProcess) {
  const pid_t other = ::getpid();  // its parent: of the same user
  EXPECT_EQ(inside([&] { return ::syscall(SYS_tgkill, other, other, 0); }), EPERM);
  EXPECT_EQ(inside([&] { return ::syscall(SYS_tkill, other, 0); }), EPERM);
  EXPECT_EQ(inside([&] { return ::kill(other, 0); }), EPERM);
  EXPECT_EQ(inside([&] {
              const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
              return ::fcntl(fd, F_SETOWN, other);
            }),
            EPERM);
  EXPECT_EQ(inside([&] {
              const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
              f_owner_ex owner{F_OWNER_PID, other};
              return ::fcntl(fd, F_SETOWN_EX, &owner);
            }),
            EPERM);
  EXPECT_EQ(inside([&] {
              const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
              return ::fcntl(fd, F_SETSIG, SIGKILL);
            }),
            EPERM);
}

TEST_F(Sandbox, StillEndsItself) {
  EXPECT_EQ(inside([]() -> long { std::abort(); }), 128 + SIGABRT);
}

TEST_F(Sandbox, ReachesNoSocketOfAnotherDaemon) {
  // A pair's end can be connected anew, or write to any path.
  for (const int type : {SOCK_DGRAM, SOCK_STREAM, SOCK_SEQPACKET}) {
    EXPECT_EQ(inside([&] {
                int pair[2];
                return ::socketpair(AF_UNIX, type, 0, pair);
              }),
              EPERM);
    EXPECT_EQ(inside([&] { return ::socket(AF_UNIX, type, 0); }), EPERM);
  }
}

TEST_F(Sandbox, HasNoRawSocketsAndNoPacketFilter) {
  EXPECT_EQ(inside([] { return ::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }), EPERM);
  EXPECT_EQ(inside([] { return ::socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6); }),
            EPERM);
  EXPECT_EQ(inside([] { return ::socket(AF_PACKET, SOCK_RAW, 0); }), EPERM);
  EXPECT_EQ(inside([] { return ::socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER); }), EPERM);
  EXPECT_EQ(inside([] {
              const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
              return ::setsockopt(fd, IPPROTO_IP, 64 /* IPT_SO_SET_REPLACE */, nullptr, 0);
            }),
            EPERM);
}

TEST_F(Sandbox, DoesWhatRelaysNeed) {
  EXPECT_EQ(
      inside([]() -> long {
        const int on = 1;
        const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (tcp < 0) return -1;
        if (::setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return -1;
        if (::setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return -1;
        const int udp = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (udp < 0 && errno != EAFNOSUPPORT) return -1;
        if (udp >= 0 && ::setsockopt(udp, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0)
          return -1;
        if (::setsockopt(tcp, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) return -1;
        int pipe[2];
        if (::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) return -1;
        if (::fcntl(pipe[1], F_SETPIPE_SZ, 65536) < 0) return -1;
        if (::fcntl(pipe[1], F_SETFL, O_NONBLOCK) < 0) return -1;
        return ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
      }),
      0);
}

}  // namespace
}  // namespace coracle::netstack
