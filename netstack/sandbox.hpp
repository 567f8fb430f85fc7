// What netstack gives up: it reads bytes from containers and from the net, and must be worth
// nothing to whoever takes it over. Capabilities go first, before there are threads; the system
// calls that the set-up needed go last.
#pragma once

#include "engine/base/result.hpp"

namespace coracle::netstack {

// Keeps of the capabilities only those over networks (and CAP_SYS_ADMIN, for making and joining
// network namespaces), sets no_new_privs, and is not dumpable afterwards. Before any thread.
Result<> drop_privileges();

// landlock(7): the calling thread opens nothing any more but resolv.conf(5) and its neighbours, for
// reading.   errors: with ENOSYS or EOPNOTSUPP on kernels without it
Result<> forbid_files();

// A seccomp allow-list for every thread: relays, netlink, new network namespaces, reading files.
// Anything else is EPERM: no exec, no ptrace, no mount, no file that is made or written, no unix
// socket that could reach another of the user's daemons, no raw socket, no signal to any other
// process, be it by kill(2) or by a descriptor's owner (F_SETOWN).
Result<> forbid_system_calls();

}  // namespace coracle::netstack
