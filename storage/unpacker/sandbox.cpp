#include "storage/unpacker/sandbox.hpp"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <array>
#include <vector>

#include <seccomp.h>

#include "engine/base/process/sandbox.hpp"

namespace coracle::storage::unpacker {
namespace {

// A zstd window is up to 128 MiB, xz's dictionary up to 1.5 GiB in theory: more is an error.
constexpr rlim_t kMostMemory = rlim_t{1} << 30;

// Owners (CHOWN), modes of what is then another's (FOWNER, FSETID), directories that are closed to
// us (DAC_OVERRIDE), file capabilities (SETFCAP). The one device that a user namespace may make, a
// whiteout, needs none: mknod(2).
constexpr std::array kKept{CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP};

constexpr std::array kInflating{
    SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
    SCMP_SYS(lseek),
    // memory, time, the end
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(clock_gettime), SCMP_SYS(getrandom), SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(exit), SCMP_SYS(exit_group)};

constexpr std::array kUnpacking{
    SCMP_SYS(openat),     SCMP_SYS(openat2),   SCMP_SYS(mkdirat),    SCMP_SYS(mknodat),
    SCMP_SYS(symlinkat),  SCMP_SYS(linkat),    SCMP_SYS(unlinkat),   SCMP_SYS(renameat),
    SCMP_SYS(renameat2),  SCMP_SYS(readlink),  SCMP_SYS(readlinkat), SCMP_SYS(fchown),
    SCMP_SYS(fchownat),   SCMP_SYS(fchmod),    SCMP_SYS(fchmodat),   SCMP_SYS(chmod),
    SCMP_SYS(utimensat),  SCMP_SYS(setxattr),  SCMP_SYS(lsetxattr),  SCMP_SYS(fsetxattr),
    SCMP_SYS(getxattr),   SCMP_SYS(lgetxattr), SCMP_SYS(fgetxattr),  SCMP_SYS(listxattr),
    SCMP_SYS(flistxattr), SCMP_SYS(stat),      SCMP_SYS(lstat),      SCMP_SYS(statx),
    SCMP_SYS(statfs),     SCMP_SYS(fstatfs),   SCMP_SYS(getdents64), SCMP_SYS(pwrite64),
    SCMP_SYS(ftruncate),  SCMP_SYS(fallocate), SCMP_SYS(fcntl),      SCMP_SYS(dup),
    SCMP_SYS(umask),      SCMP_SYS(faccessat)};

Result<> limit(__rlimit_resource_t what, rlim_t most) {
  const rlimit bound{most, most};
  if (::setrlimit(what, &bound) != 0) return sys_error("limit ourselves");
  return {};
}

Result<> allow(bool files) {
  std::vector<int> calls(kInflating.begin(), kInflating.end());
  if (files) calls.insert(calls.end(), kUnpacking.begin(), kUnpacking.end());
  const std::array sometimes{
      sandbox::Call{SCMP_SYS(mmap), {sandbox::none_of(2, PROT_EXEC)}},
      sandbox::Call{SCMP_SYS(mprotect), {sandbox::none_of(2, PROT_EXEC)}},
  };
  return sandbox::allow_system_calls(calls, sometimes);
}

}  // namespace

Result<> confine_inflating() {
  CHECK(sandbox::keep_capabilities({}));
  CHECK(limit(RLIMIT_CORE, 0));
  if (!sandbox::kSanitized) CHECK(limit(RLIMIT_AS, kMostMemory));
  if (sandbox::can_restrict_files()) CHECK(sandbox::restrict_files({}));
  return allow(false);
}

Result<> confine_unpacking(const UniqueFd& root) {
  CHECK(sandbox::keep_capabilities(kKept));
  CHECK(limit(RLIMIT_CORE, 0));
  if (!sandbox::kSanitized) CHECK(limit(RLIMIT_AS, kMostMemory));
  if (sandbox::can_restrict_files()) {
    const std::array places{sandbox::Place{
        root.get(), sandbox::every_right() & ~std::uint64_t{LANDLOCK_ACCESS_FS_EXECUTE}}};
    CHECK(sandbox::restrict_files(places));
  }
  return allow(true);
}

}  // namespace coracle::storage::unpacker
