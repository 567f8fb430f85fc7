// The parent's side of a container's start: clone3(2), the handshake with the child (runtime/init),
// and what the parent holds of a container afterwards. Used by the monitor, which has one thread.
//
//   parent (launch)                          child (init)
//   clone3, pidfd                       ->
//                                            namespaces by path, mounts, pivot_root, masks,
//                                            sysctls, pty; everything that needs a file from
//                                            outside
//   console, ready                      <-   sends the pty's master, says ready
//   launch() returns: state "created"        waits
//   start(): go                         ->   closes all but 0, 1, 2; privileges, seccomp, execve
//                                       <-   by shared memory (exec_watch): execve succeeded, or
//                                            why not
//
// With another container's pid namespace the child is seen there from birth: then a process beside
// it, the setter, does the middle part, and the child (Birth) has only 0, 1, 2 and the go pipe.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/exec_watch.hpp"
#include "engine/runtime/mounts/root_mount.hpp"
#include "engine/runtime/seccomp.hpp"
#include "engine/spec/oci.hpp"

namespace coracle::runtime {

// Borrowed descriptors for the process's 0, 1, 2. Not used with a terminal.
struct Stdio {
  int in = -1, out = -1, err = -1;
};

struct LaunchRequest {
  const oci::Spec* spec = nullptr;
  std::string bundle;  // absolute: root.path may be relative to it
  RootMount root;
  int netns = -1;  // borrowed: the network namespace to enter; -1: as the spec says
  Stdio stdio;
  bool docker_files = false;  // /.dockerenv and /etc/mtab (mounts/docker_files)
  std::string init_program;   // --init: coracle-init on this host, bound over /sbin/docker-init
  std::string seccomp_cache;  // directory of compiled filters by digest; "": compile each time
  // Processes whose namespaces (or files) the spec names by /proc/PID: they must live until all of
  // that is opened, so that no number has become another process's.
  std::vector<ProcessIdentity> joined;
  // What the caller has to do with the child's pid; it is done while the child sets itself up.
  std::function<Result<>(const Pidfd& child)> meanwhile;
};

// A container between create and its end, as its parent holds it.
class Launched {
 public:
  Launched(Pidfd init, UniqueFd console, UniqueFd go, ExecWatch watch, UniqueFd mount_namespace,
           std::optional<SeccompFilter> filter)
      : init_(std::move(init)),
        console_(std::move(console)),
        go_(std::move(go)),
        watch_(std::move(watch)),
        mount_namespace_(std::move(mount_namespace)),
        filter_(std::move(filter)) {}

  // Lets the child execve, and waits until it did.
  //   errors  Docker's texts: not_found `exec: "foo": executable file not found in $PATH`,
  //           forbidden `exec: "/x": permission denied`, …; the child has ended then
  Result<> start();

  [[nodiscard]] const Pidfd& init() const { return init_; }
  // The pty's master, non-blocking; empty without a terminal.
  [[nodiscard]] UniqueFd& console() { return console_; }
  // Held so that the container's mounts are taken down by whoever closes it, not in its pid 1's
  // exit: the exit is reported before the teardown, which takes the kernel tens of milliseconds.
  [[nodiscard]] UniqueFd& mount_namespace() { return mount_namespace_; }
  // Its seccomp filter, for what joins it; null: none.
  [[nodiscard]] const SeccompFilter* filter() const { return filter_ ? &*filter_ : nullptr; }

 private:
  Pidfd init_;
  UniqueFd console_, go_;
  ExecWatch watch_;
  UniqueFd mount_namespace_;
  std::optional<SeccompFilter> filter_;
};

// Makes the container up to the moment before execve. On an error nothing is left behind.
//   errors  "mount tmpfs on /dev: Operation not permitted": the step, the object, the reason
Result<Launched> launch(const LaunchRequest& request);

}  // namespace coracle::runtime
