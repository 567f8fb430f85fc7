// The processes of a container, as its monitor sees them: descendants of its own
// (base/descendants), since it is a child subreaper.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "engine/base/process.hpp"
#include "engine/base/result.hpp"

namespace coracle::monitor {

// The pid namespace of a process ("self" or its number) by its inode, which is its identity; 0 when
// the process has ended. See namespaces(7).
ino_t pid_namespace_of(const std::string& pid);

// Sends a signal to every process of the container: those in the pid namespace of `init`, or, when
// that is our own (pid mode host), every descendant but the file system's program.
Result<> signal_all(const Pidfd& init, int signal, const std::string& fuse_program);

// Kills every descendant but the file system's program until none is left, or for `limit_ms`;
// `reap` collects the dead. Nothing is left to do when the container had a pid namespace of its
// own: the kernel has done it.
void kill_rest(const std::string& fuse_program, int limit_ms, const std::function<void()>& reap);

}  // namespace coracle::monitor
