// The last steps of a process in a container, the same for its first process and for exec:
// terminal, limits, seccomp, ids, capabilities, working directory, execve. Called in the child,
// inside the container's namespaces and root.
#pragma once

#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/runtime/seccomp.hpp"
#include "engine/runtime/user_lookup.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct Become {
  const oci::Process& process;
  const SeccompFilter* filter;  // null: none
  ResolvedUser user;
  Stdio stdio;     // without a terminal; -1: /dev/null
  UniqueFd slave;  // the terminal, or empty
  UniqueFd proc;   // a procfs, to write oom_score_adj and the like; or empty
};

// The terminal of a process: both ends of a pty of the devpts at /dev/pts below `root`.
struct Terminal {
  UniqueFd master;  // non-blocking
  UniqueFd slave;
};
// errors: unsupported: there is no devpts on /dev/pts
Result<Terminal> open_terminal(const UniqueFd& root, const oci::Process& process);

// Signals at their defaults and unblocked, as a new program expects them.
void reset_signals();

// Closes every descriptor but 0, 1, 2 and those in `keep`.
Result<> close_all_but(std::vector<int> keep);

// Returns only on an error.
//   errors  the texts of Docker: see find_program
Error become(Become& what);

// The file that execvp(3) would take for `name` with the PATH of `env`.
//   errors  not_found `exec: "foo": executable file not found in $PATH`, `exec: "/x": no such file
//           or directory`; forbidden `exec: "/x": permission denied`,
//           `exec: "/x": is a directory: permission denied`
Result<std::string> find_program(const std::string& name, const std::vector<std::string>& env);

}  // namespace coracle::runtime
