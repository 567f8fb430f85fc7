// we                      helper (our pid namespace)         maker (the other one)
// clone helper         ->
//                         root: an empty tmpfs; closes all
//                         but socket and namespace; enters
//                         it for its children; closes it
//                         clone maker                     ->
//                                                            procfs: its context goes by the
//                                                            socket
// receive, mount it    <---------------------------------------------------------------------
//
// A mount would not do: who had taken its descriptor from the maker would, once we had attached it,
// have a way up ("..") into our own tree.
#include "engine/runtime/foreign_procfs.hpp"

#include <linux/magic.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <vector>

#include "engine/runtime/child.hpp"
#include "engine/runtime/exec_program.hpp"
#include "engine/runtime/report.hpp"

namespace coracle::runtime {
namespace {

Result<> leave_all_behind(const UniqueFd& link, const UniqueFd& pid_namespace) {
  CHECK(close_all_but({link.get(), pid_namespace.get()}));
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("hide from ptrace");
  TRY(const auto empty, make_file_system("tmpfs", "tmpfs", {{"size", "4k"}}, MOUNT_ATTR_RDONLY));
  if (::fchdir(empty.get()) != 0 || ::chroot(".") != 0) return sys_error("enter an empty root");
  if (::setns(pid_namespace.get(), CLONE_NEWPID) != 0)
    return sys_error("enter the container's pid namespace");
  return close_all_but({link.get()});
}

[[noreturn]] void run_maker(const UniqueFd& link, const std::vector<FsOption>& options) noexcept {
  auto made = create_file_system("proc", "proc", options);
  if (!made) report_error_and_exit(link, made.error());
  (void)report_ready(link, {made->get()});
  ::_exit(0);
}

[[noreturn]] void run_helper(const UniqueFd& link, const UniqueFd& pid_namespace,
                             const std::vector<FsOption>& options) noexcept {
  if (const auto left = leave_all_behind(link, pid_namespace); !left)
    report_error_and_exit(link, left.error());
  const auto maker = clone_child(0, {});
  if (!maker) report_error_and_exit(link, maker.error());
  if (!*maker) run_maker(link, options);
  (void)(*maker)->wait();
  ::_exit(0);
}

}  // namespace

Result<UniqueFd> make_procfs_of(const UniqueFd& pid_namespace, const std::vector<FsOption>& options,
                                std::uint64_t attributes) {
  TRY(auto link, make_socket_pair(SOCK_SEQPACKET));
  TRY(const auto helper, clone_child(0, {}));
  if (!helper) run_helper(link.b, pid_namespace, options);
  const ChildGuard guard(*helper);
  link.b.reset();
  TRY(auto fds, await_ready(link.a));
  if (fds.size() != 1) return fail(Errc::internal, "{} contexts of a procfs came", fds.size());
  TRY(auto mount, mount_file_system(fds.front(), "proc", attributes));
  // Who traces the maker could have sent another one.
  struct statfs st {};
  if (::fstatfs(mount.get(), &st) != 0 || st.f_type != PROC_SUPER_MAGIC)
    return fail(Errc::internal, "make a procfs of the joined pid namespace: another thing came");
  return mount;
}

}  // namespace coracle::runtime
