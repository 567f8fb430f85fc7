#include "engine/runtime/privileges.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

namespace coracle::runtime {
namespace {

// In the order of their numbers: linux/capability.h.
constexpr std::array<std::string_view, 41> kNames = {"CHOWN",
                                                     "DAC_OVERRIDE",
                                                     "DAC_READ_SEARCH",
                                                     "FOWNER",
                                                     "FSETID",
                                                     "KILL",
                                                     "SETGID",
                                                     "SETUID",
                                                     "SETPCAP",
                                                     "LINUX_IMMUTABLE",
                                                     "NET_BIND_SERVICE",
                                                     "NET_BROADCAST",
                                                     "NET_ADMIN",
                                                     "NET_RAW",
                                                     "IPC_LOCK",
                                                     "IPC_OWNER",
                                                     "SYS_MODULE",
                                                     "SYS_RAWIO",
                                                     "SYS_CHROOT",
                                                     "SYS_PTRACE",
                                                     "SYS_PACCT",
                                                     "SYS_ADMIN",
                                                     "SYS_BOOT",
                                                     "SYS_NICE",
                                                     "SYS_RESOURCE",
                                                     "SYS_TIME",
                                                     "SYS_TTY_CONFIG",
                                                     "MKNOD",
                                                     "LEASE",
                                                     "AUDIT_WRITE",
                                                     "AUDIT_CONTROL",
                                                     "SETFCAP",
                                                     "MAC_OVERRIDE",
                                                     "MAC_ADMIN",
                                                     "SYSLOG",
                                                     "WAKE_ALARM",
                                                     "BLOCK_SUSPEND",
                                                     "AUDIT_READ",
                                                     "PERFMON",
                                                     "BPF",
                                                     "CHECKPOINT_RESTORE"};

constexpr std::array kRlimits = {std::pair{"RLIMIT_CPU", RLIMIT_CPU},
                                 std::pair{"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                 std::pair{"RLIMIT_DATA", RLIMIT_DATA},
                                 std::pair{"RLIMIT_STACK", RLIMIT_STACK},
                                 std::pair{"RLIMIT_CORE", RLIMIT_CORE},
                                 std::pair{"RLIMIT_RSS", RLIMIT_RSS},
                                 std::pair{"RLIMIT_NPROC", RLIMIT_NPROC},
                                 std::pair{"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                 std::pair{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                 std::pair{"RLIMIT_AS", RLIMIT_AS},
                                 std::pair{"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                 std::pair{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                 std::pair{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                 std::pair{"RLIMIT_NICE", RLIMIT_NICE},
                                 std::pair{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                 std::pair{"RLIMIT_RTTIME", RLIMIT_RTTIME}};

Result<std::uint64_t> mask_of(const std::vector<std::string>& names, int last) {
  std::uint64_t mask = 0;
  for (const auto& name : names) {
    const auto number = capability_number(name);
    if (!number) return fail(Errc::invalid_argument, "unknown capability: \"{}\"", name);
    if (*number <= last) mask |= std::uint64_t{1} << *number;
  }
  return mask;
}

// Are all of them groups that the process has, or its main one?
bool has_groups(const std::vector<std::uint32_t>& wanted, std::uint32_t gid) {
  std::vector<gid_t> have(static_cast<std::size_t>(std::max(0, ::getgroups(0, nullptr))));
  if (!have.empty() && ::getgroups(static_cast<int>(have.size()), have.data()) < 0) return false;
  return std::ranges::all_of(wanted, [&](std::uint32_t g) {
    return g == gid || std::ranges::find(have, g) != have.end();
  });
}

}  // namespace

std::optional<int> capability_number(const std::string& name) {
  if (!name.starts_with("CAP_")) return std::nullopt;
  const auto found = std::ranges::find(kNames, std::string_view(name).substr(4));
  if (found == kNames.end()) return std::nullopt;
  return static_cast<int>(found - kNames.begin());
}

int last_capability() {
  // The kernel knows all up to it, and none above: halved, six questions instead of forty.
  int last = -1, unknown = 64;
  while (unknown - last > 1) {
    const int middle = last + (unknown - last) / 2;
    (::prctl(PR_CAPBSET_READ, middle, 0, 0, 0) >= 0 ? last : unknown) = middle;
  }
  return last;
}

Result<CapabilitySets> capability_sets(const std::optional<oci::Capabilities>& wanted, int last) {
  CapabilitySets sets;
  if (!wanted) return sets;
  TRY(sets.bounding, mask_of(wanted->bounding, last));
  TRY(sets.effective, mask_of(wanted->effective, last));
  TRY(sets.permitted, mask_of(wanted->permitted, last));
  TRY(sets.inheritable, mask_of(wanted->inheritable, last));
  TRY(const auto ambient, mask_of(wanted->ambient, last));
  sets.ambient = ambient & sets.permitted & sets.inheritable;
  return sets;
}

Result<> limit_bounding_set(const CapabilitySets& sets) {
  for (int cap = 0; cap < 64; ++cap) {
    if ((sets.bounding >> cap & 1U) != 0 || ::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0) continue;
    const int sys = errno;
    if (sys == EINVAL) break;  // above the last one of this kernel
    // Without CAP_SETPCAP it is refused also for what is not there.
    if (::prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
      return sys_error_of(sys, "drop capability {} from the bounding set", cap);
  }
  return {};
}

Result<> set_capabilities(const CapabilitySets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto part = [&](std::uint64_t mask) {
      return static_cast<std::uint32_t>(mask >> (32 * i));
    };
    data[i] = {part(sets.effective), part(sets.permitted), part(sets.inheritable)};
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0)
    return sys_error("set the capabilities (permitted {:x})", sets.permitted);
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return sys_error("clear the ambient capabilities");
  for (int cap = 0; cap < 64; ++cap) {
    if ((sets.ambient >> cap & 1U) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
      return sys_error("raise ambient capability {}", cap);
  }
  return {};
}

Result<> set_ids(std::uint32_t uid, std::uint32_t gid, const std::vector<std::uint32_t>& groups,
                 const oci::User& asked) {
  static_assert(sizeof(gid_t) == sizeof(std::uint32_t));
  // To setresuid(2) it says "leave it as it is": as root.
  constexpr auto kNoId = static_cast<std::uint32_t>(-1);
  if (uid == kNoId || gid == kNoId)
    return fail(Errc::invalid_argument, "set ids: {} is none", kNoId);
  if (!asked.keep_groups && ::setgroups(groups.size(), groups.data()) != 0) {
    const int sys = errno;
    if (sys == EINVAL)
      return sys_error_of(sys, "set the groups: a group id is not mapped in this user namespace");
    if (sys != EPERM || !has_groups(asked.additional_gids, gid))
      return sys_error_of(sys, "set the groups");
  }
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return sys_error("keep the capabilities");
  if (::setresgid(gid, gid, gid) != 0)
    return sys_error("set gid {}{}", gid,
                     errno == EINVAL ? ": it is not mapped in this user namespace" : "");
  if (::setresuid(uid, uid, uid) != 0)
    return sys_error("set uid {}{}", uid,
                     errno == EINVAL ? ": it is not mapped in this user namespace" : "");
  return {};
}

Result<> set_rlimits(const std::vector<oci::Rlimit>& limits) {
  for (const auto& l : limits) {
    const auto found =
        std::ranges::find_if(kRlimits, [&](const auto& r) { return l.type == r.first; });
    if (found == kRlimits.end())
      return fail(Errc::invalid_argument, "unknown resource limit {}", l.type);
    const rlimit value{l.soft, l.hard};
    if (::setrlimit(found->second, &value) != 0)
      return sys_error("set {} to {}:{}{}", l.type, l.soft, l.hard,
                       errno == EPERM ? ": above this user's own hard limit, which an "
                                        "administrator can raise in limits.conf(5)"
                                      : "");
  }
  return {};
}

}  // namespace coracle::runtime
