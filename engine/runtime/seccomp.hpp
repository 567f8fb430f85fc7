// A resolved seccomp profile becomes a BPF program (libseccomp, as a binary tree), and is loaded as
// the last thing before execve. Compiling costs milliseconds, so programs are kept on disk.
//
// In front of libseccomp's program stand a few instructions of our own, for system calls that are
// newer than the library:
//   - those that the profile names without conditions get the profile's action all the same;
//   - above the newest system call that the profile names, the answer is ENOSYS instead of the
//     default action's error, so that a C library falls back to an older call. As runc does.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct SeccompFilter {
  std::vector<sock_filter> program;
  std::uint32_t flags = 0;  // SECCOMP_FILTER_FLAG_*
};

// Takes the program from `cache_dir` if it is there and whole, else compiles it and puts it there.
//   cache_dir  "": always compile
//   errors     invalid_argument: unknown action, operator, architecture or flag
Result<SeccompFilter> seccomp_filter(const oci::Seccomp& profile, const std::string& cache_dir);
// Without the cache.
Result<SeccompFilter> compile_seccomp(const oci::Seccomp& profile);

// Needs no_new_privs or CAP_SYS_ADMIN in the user namespace.
Result<> load_seccomp(const SeccompFilter& filter);

}  // namespace coracle::runtime
