#include "netstack/sandbox.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <vector>

#include <seccomp.h>

#include "engine/base/fd.hpp"
#include "engine/base/process/sandbox.hpp"

namespace coracle::netstack {
namespace {

using sandbox::below;
using sandbox::Call;
using sandbox::equal;
using sandbox::masked;
using sandbox::none_of;

constexpr std::array kKept{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_SYS_ADMIN};

constexpr std::array kAllowed{
    // data
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(splice),
    SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
    SCMP_SYS(recvmmsg), SCMP_SYS(lseek), SCMP_SYS(ftruncate),
    // descriptors
    SCMP_SYS(close), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(memfd_create), SCMP_SYS(accept4),
    SCMP_SYS(accept), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(connect), SCMP_SYS(shutdown),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    // waiting
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(futex),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
    SCMP_SYS(sched_yield),
    // memory, time, threads of our own
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(clock_gettime),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(rseq), SCMP_SYS(set_robust_list), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(exit), SCMP_SYS(exit_group),
    // reading /etc/resolv.conf; openat is below
    SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx)};

// The options that we and libslirp use lie below it; those of the packet filters begin there. Their
// code in the kernel nobody shall reach from here. See linux/in.h,
// linux/netfilter_ipv4/ip_tables.h.
constexpr int kFirstFilterOption = 64;
constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST

std::vector<Call> conditional() {
  constexpr int kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
  std::vector<Call> calls{
      {SCMP_SYS(openat), {none_of(2, kWriting)}},
      {SCMP_SYS(open), {none_of(1, kWriting)}},
      {SCMP_SYS(mmap), {none_of(2, PROT_EXEC)}},
      {SCMP_SYS(mprotect), {none_of(2, PROT_EXEC)}},
      {SCMP_SYS(unshare), {equal(0, CLONE_NEWNET)}},
      {SCMP_SYS(setns), {equal(1, CLONE_NEWNET)}},
      // abort(3) of our own threads. Any other process of the user's would hear of it too.
      {SCMP_SYS(tgkill), {equal(0, static_cast<std::uint64_t>(::getpid()))}},
      // Routes and interfaces; the packet filter's socket is open already.
      {SCMP_SYS(socket), {equal(0, AF_NETLINK), equal(2, NETLINK_ROUTE)}},
      {SCMP_SYS(setsockopt), {equal(1, SOL_SOCKET)}},
      {SCMP_SYS(setsockopt), {equal(1, IPPROTO_TCP)}},
      {SCMP_SYS(getsockopt), {equal(1, SOL_SOCKET)}},
      {SCMP_SYS(getsockopt), {equal(1, SOL_IP), equal(2, kOriginalDestination)}},
  };
  for (const unsigned family : {AF_INET, AF_INET6}) {
    // No raw ones: other hosts would be told what no container said.
    constexpr std::uint32_t kTypeMask = ~static_cast<std::uint32_t>(SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (const unsigned type : {SOCK_STREAM, SOCK_DGRAM})
      calls.push_back({SCMP_SYS(socket), {equal(0, family), masked(1, kTypeMask, type)}});
  }
  for (const unsigned level : {IPPROTO_IP, IPPROTO_IPV6}) {
    for (const int call : {SCMP_SYS(setsockopt), SCMP_SYS(getsockopt)})
      calls.push_back({call, {equal(1, level), below(2, kFirstFilterOption)}});
  }
  // Not F_SETOWN, F_SETOWN_EX, F_SETSIG: a signal for any process of the user's.
  for (const unsigned command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ})
    calls.push_back({SCMP_SYS(fcntl), {equal(1, command)}});
  for (const unsigned request : {SIOCGSKNS, SIOCGIFINDEX, FIONREAD, FIONBIO})
    calls.push_back({SCMP_SYS(ioctl), {equal(1, request)}});
  return calls;
}

// Where resolv.conf(5) lies, and what it is a link to on the usual systems.
constexpr std::array kReadable{
    "/etc",    "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman",
    "/mnt/wsl"};

}  // namespace

Result<> drop_privileges() { return sandbox::keep_capabilities(kKept); }

Result<> forbid_files() {
  std::vector<UniqueFd> open;
  std::vector<sandbox::Place> places;
  for (const char* path : kReadable) {
    UniqueFd place(::open(path, O_PATH | O_CLOEXEC));
    if (!place) continue;
    places.push_back({place.get(), LANDLOCK_ACCESS_FS_READ_FILE});
    open.push_back(std::move(place));
  }
  return sandbox::restrict_files(places);
}

Result<> forbid_system_calls() { return sandbox::allow_system_calls(kAllowed, conditional()); }

}  // namespace coracle::netstack
