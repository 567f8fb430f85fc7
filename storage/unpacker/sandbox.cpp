#include "storage/unpacker/sandbox.hpp"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "engine/base/sandbox.hpp"

namespace coracle::storage::unpacker {
namespace {

// A zstd window is up to 128 MiB, xz's dictionary up to 1.5 GiB in theory: more is an error.
constexpr rlim_t kMostMemory = rlim_t{1} << 30;

// Owners (CHOWN), modes of what is then another's (FOWNER, FSETID), directories that are closed to
// us (DAC_OVERRIDE), file capabilities (SETFCAP). The one device that a user namespace may make, a
// whiteout, needs none: mknod(2).
constexpr std::array kKept{CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SETFCAP};

constexpr std::array kInflating{
    SYS_read, SYS_write, SYS_close, SYS_fstat, SYS_newfstatat, SYS_lseek,
    // memory, time, the end
    SYS_brk, SYS_munmap, SYS_mremap, SYS_madvise, SYS_futex, SYS_clock_gettime, SYS_getrandom,
    SYS_restart_syscall, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_exit,
    SYS_exit_group};

constexpr std::array kUnpacking{
    SYS_openat,     SYS_openat2,   SYS_mkdirat,   SYS_mknodat,   SYS_symlinkat,  SYS_linkat,
    SYS_unlinkat,   SYS_renameat,  SYS_renameat2, SYS_readlink,  SYS_readlinkat, SYS_fchown,
    SYS_fchownat,   SYS_fchmod,    SYS_fchmodat,  SYS_chmod,     SYS_utimensat,  SYS_setxattr,
    SYS_lsetxattr,  SYS_fsetxattr, SYS_getxattr,  SYS_lgetxattr, SYS_fgetxattr,  SYS_listxattr,
    SYS_flistxattr, SYS_stat,      SYS_lstat,     SYS_statx,     SYS_statfs,     SYS_fstatfs,
    SYS_getdents64, SYS_pwrite64,  SYS_ftruncate, SYS_fallocate, SYS_fcntl,      SYS_dup,
    SYS_umask,      SYS_faccessat};

constexpr std::array kSometimes{
    sandbox::when_none_of(SYS_mmap, 2, PROT_EXEC),
    sandbox::when_none_of(SYS_mprotect, 2, PROT_EXEC),
};

Result<> limit(__rlimit_resource_t what, rlim_t most) {
  const rlimit bound{most, most};
  if (::setrlimit(what, &bound) != 0) return sys_error("limit ourselves");
  return {};
}

Result<> allow(bool files) {
  std::vector<int> calls(kInflating.begin(), kInflating.end());
  if (files) calls.insert(calls.end(), kUnpacking.begin(), kUnpacking.end());
  return sandbox::allow_system_calls(calls, kSometimes);
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
