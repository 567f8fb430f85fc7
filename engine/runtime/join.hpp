// exec: a further process in a running container, with the namespaces of its first process and the
// privileges of the spec it is given.
#pragma once

#include <string>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/runtime/seccomp.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct JoinRequest {
  const Pidfd* init = nullptr;  // the container's first process
  const oci::Process* process = nullptr;
  const SeccompFilter* filter = nullptr;  // null: none
  Stdio stdio;                            // without a terminal
};

struct Joined {
  Pidfd process;     // our child (by CLONE_PARENT): to be waited for
  UniqueFd console;  // the pty's master (made in the container's /dev/pts), non-blocking
};

// Returns once execve succeeded. From its birth on the process has no descriptor but the stdio, and
// the root of the container: one that may trace it (SYS_PTRACE) finds nothing of the host in it.
// Others cannot reach it through /proc before its privileges are those of the spec.
//   errors  Docker's texts, as Launched::start()
Result<Joined> join(const JoinRequest& request);

}  // namespace coracle::runtime
