// The last steps of a process in a container, the same for its first process and for exec.
//
//   set_own_attributes()  outside still: what is written to our own /proc
//   set_stdio()           inside the container's namespaces and root
//   exec_program()              terminal, limits, seccomp, ids, capabilities, working directory, execve:
//                         with no descriptor but 0, 1 and 2, since an image or a container chooses
//                         the paths that are looked up here (/proc/self/fd/N among them)
#pragma once

#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/launch.hpp"
#include "engine/runtime/seccomp.hpp"
#include "engine/runtime/user_lookup.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

struct ExecPlan {
  const oci::Process& process;
  const SeccompFilter* filter;  // null: none
  ResolvedUser user;
};

// The OOM score, and the labels that the next execve(2) gives: what a process can only write of
// itself. A child inherits it.
Result<> set_own_attributes(const oci::Process& process);

// 0, 1, 2 become the terminal's other end or the given descriptors.
//   stdio  -1: the container's /dev/null
//   slave  the terminal, or empty
//   root   the container's root directory
Result<> set_stdio(const Stdio& stdio, const UniqueFd& slave, const UniqueFd& root);

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

// Closes all but 0, 1, 2, and returns only on an error.
//   errors  the texts of Docker: see find_program
Error exec_program(const ExecPlan& what);

// The file that execvp(3) would take for `name` with the PATH of `env`.
//   errors  not_found `exec: "foo": executable file not found in $PATH`, `exec: "/x": no such file
//           or directory`; forbidden `exec: "/x": permission denied`,
//           `exec: "/x": is a directory: permission denied`
Result<std::string> find_program(const std::string& name, const std::vector<std::string>& env);

}  // namespace coracle::runtime
