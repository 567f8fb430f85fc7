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
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <vector>

#include <seccomp.h>

#include "engine/base/fd.hpp"

namespace coracle::netstack {
namespace {

// The sanitizers need other system calls, and read /proc when they report.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

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

struct Rule {
  int call;
  std::vector<scmp_arg_cmp> conditions;  // all of them
};

// The options that we and libslirp use lie below it; those of the packet filters begin there. Their
// code in the kernel nobody shall reach from here. See linux/in.h,
// linux/netfilter_ipv4/ip_tables.h.
constexpr int kFirstFilterOption = 64;
constexpr int kOriginalDestination = 80;  // SO_ORIGINAL_DST

// NOLINTBEGIN: the macros of seccomp.h build aggregates
std::vector<Rule> conditional() {
  constexpr int kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
  std::vector<Rule> rules{
      {SCMP_SYS(openat), {SCMP_A2(SCMP_CMP_MASKED_EQ, kWriting, 0)}},
      {SCMP_SYS(open), {SCMP_A1(SCMP_CMP_MASKED_EQ, kWriting, 0)}},
      {SCMP_SYS(mmap), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
      {SCMP_SYS(mprotect), {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)}},
      {SCMP_SYS(unshare), {SCMP_A0(SCMP_CMP_EQ, CLONE_NEWNET, 0)}},
      {SCMP_SYS(setns), {SCMP_A1(SCMP_CMP_EQ, CLONE_NEWNET, 0)}},
      // abort(3) of our own threads. Any other process of the user's would hear of it too.
      {SCMP_SYS(tgkill), {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()), 0)}},
      // Routes and interfaces; the packet filter's socket is open already.
      {SCMP_SYS(socket),
       {SCMP_A0(SCMP_CMP_EQ, AF_NETLINK, 0), SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE, 0)}},
      {SCMP_SYS(setsockopt), {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET, 0)}},
      {SCMP_SYS(setsockopt), {SCMP_A1(SCMP_CMP_EQ, IPPROTO_TCP, 0)}},
      {SCMP_SYS(getsockopt), {SCMP_A1(SCMP_CMP_EQ, SOL_SOCKET, 0)}},
      {SCMP_SYS(getsockopt),
       {SCMP_A1(SCMP_CMP_EQ, SOL_IP, 0), SCMP_A2(SCMP_CMP_EQ, kOriginalDestination, 0)}},
  };
  for (const int family : {AF_INET, AF_INET6}) {
    // No raw ones: other hosts would be told what no container said.
    constexpr int kTypeMask = ~(SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      rules.push_back({SCMP_SYS(socket),
                       {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(family), 0),
                        SCMP_A1(SCMP_CMP_MASKED_EQ, static_cast<unsigned>(kTypeMask),
                                static_cast<scmp_datum_t>(type))}});
    }
  }
  for (const int level : {IPPROTO_IP, IPPROTO_IPV6}) {
    for (const int call : {SCMP_SYS(setsockopt), SCMP_SYS(getsockopt)}) {
      rules.push_back({call,
                       {SCMP_A1(SCMP_CMP_EQ, static_cast<scmp_datum_t>(level), 0),
                        SCMP_A2(SCMP_CMP_LT, kFirstFilterOption, 0)}});
    }
  }
  // Not F_SETOWN, F_SETOWN_EX, F_SETSIG: a signal for any process of the user's.
  for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ})
    rules.push_back({SCMP_SYS(fcntl), {SCMP_A1(SCMP_CMP_EQ, static_cast<unsigned>(command), 0)}});
  for (const unsigned long request : {std::uint64_t{SIOCGSKNS}, std::uint64_t{SIOCGIFINDEX},
                                      std::uint64_t{FIONREAD}, std::uint64_t{FIONBIO}})
    rules.push_back({SCMP_SYS(ioctl), {SCMP_A1(SCMP_CMP_EQ, request, 0)}});
  return rules;
}
// NOLINTEND

// Where resolv.conf(5) lies, and what it is a link to on the usual systems.
constexpr std::array kReadable{
    "/etc",    "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", "/run/connman",
    "/mnt/wsl"};

bool kept(int capability) {
  for (const int k : kKept)
    if (k == capability) return true;
  return false;
}

}  // namespace

Result<> drop_privileges() {
  // The bounding set first: afterwards the capability that it takes is gone. EINVAL: the last one.
  for (int c = 0; c < 64; ++c) {
    if (kept(c)) continue;
    if (::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && errno == EINVAL) break;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return sys_error("read the capabilities");
  std::uint32_t mask = 0;
  for (const int k : kKept) mask |= std::uint32_t{1} << k;
  data[0].effective &= mask;
  data[0].permitted &= mask;
  data[0].inheritable = 0;
  data[1] = {};
  if (::syscall(SYS_capset, &header, data.data()) != 0) return sys_error("drop capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("set no_new_privs");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("become undumpable");
  return {};
}

Result<> forbid_files() {
  if (kSanitized) return {};
  // All rights of the first version of landlock(7), Linux 5.13.
  constexpr std::uint64_t kEverything = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = kEverything;
  const UniqueFd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules) return sys_error("make a landlock ruleset");
  for (const char* path : kReadable) {
    const UniqueFd place(::open(path, O_PATH | O_CLOEXEC));
    if (!place) continue;
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    beneath.parent_fd = place.get();
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
      return sys_error("allow to read {}", path);
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0)
    return sys_error("restrict a thread with landlock");
  return {};
}

Result<> forbid_system_calls() {
  if (kSanitized) return {};
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                      seccomp_release);
  if (!filter) return fail(Errc::internal, "start a seccomp filter");
  int failed = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (failed == 0) failed = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const int call : kAllowed)
    if (failed == 0) failed = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  for (const auto& r : conditional()) {
    if (failed == 0)
      failed =
          seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, r.call,
                                 static_cast<unsigned>(r.conditions.size()), r.conditions.data());
  }
  if (failed != 0) return sys_error_of(-failed, "build the seccomp filter");
  if (const int loaded = seccomp_load(filter.get()); loaded != 0)
    return sys_error_of(-loaded, "load the seccomp filter");
  return {};
}

}  // namespace coracle::netstack
