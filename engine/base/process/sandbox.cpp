#include "engine/base/process/sandbox.hpp"

#include <linux/capability.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include <seccomp.h>

namespace coracle::sandbox {
namespace {

constexpr int kMostCapabilities = 64;
constexpr std::uint64_t kTruncate = std::uint64_t{1} << 14;  // LANDLOCK_ACCESS_FS_TRUNCATE, ABI 3
constexpr std::uint64_t kDeviceIoctl = std::uint64_t{1} << 15;  // …_IOCTL_DEV, ABI 5
constexpr int kAbiWithLinks = 2;

// The version of the kernel's landlock; 0: it has none.
int landlock_abi() {
  const long abi =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

std::uint64_t rights_of(int abi) {
  std::uint64_t rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  if (abi >= kAbiWithLinks) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) rights |= kTruncate;
  if (abi >= 5) rights |= kDeviceIoctl;
  return rights;
}

scmp_arg_cmp condition_of(const Argument& a) {
  if (a.mask == 0) return {a.index, SCMP_CMP_LT, a.value, 0};
  return {a.index, SCMP_CMP_MASKED_EQ, a.mask, a.value};
}

}  // namespace

Result<> keep_capabilities(std::span<const int> kept) {
  // The bounding set first: afterwards the capability that it takes is gone. EINVAL: the last one.
  for (int c = 0; c < kMostCapabilities; ++c) {
    if (std::ranges::find(kept, c) != kept.end()) continue;
    if (::prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && errno == EINVAL) break;
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return sys_error("read the capabilities");
  std::array<std::uint32_t, 2> mask{};
  for (const int k : kept)
    mask[static_cast<std::size_t>(k / 32)] |= std::uint32_t{1} << static_cast<unsigned>(k % 32);
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i].effective &= mask[i];
    data[i].permitted &= mask[i];
    data[i].inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) return sys_error("drop capabilities");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return sys_error("set no_new_privs");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return sys_error("become undumpable");
  return {};
}

std::uint64_t every_right() { return rights_of(5); }

bool can_restrict_files() { return landlock_abi() >= kAbiWithLinks; }

Result<> restrict_files(std::span<const Place> places) {
  if (kSanitized) return {};
  const std::uint64_t known = rights_of(landlock_abi());
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = known;
  const UniqueFd rules(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0)));
  if (!rules) return sys_error("make a landlock ruleset");
  for (const auto& place : places) {
    landlock_path_beneath_attr beneath{};
    beneath.allowed_access = place.rights & known;
    beneath.parent_fd = place.directory;
    if (::syscall(SYS_landlock_add_rule, rules.get(), LANDLOCK_RULE_PATH_BENEATH, &beneath, 0) != 0)
      return sys_error("allow a place with landlock");
  }
  if (::syscall(SYS_landlock_restrict_self, rules.get(), 0) != 0)
    return sys_error("restrict a thread with landlock");
  return {};
}

Result<> allow_system_calls(std::span<const int> always, std::span<const Call> sometimes) {
  if (kSanitized) return {};
  const std::unique_ptr<void, void (*)(void*)> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                      seccomp_release);
  if (!filter) return fail(Errc::internal, "start a seccomp filter");
  int failed = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (failed == 0) failed = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const int call : always)
    if (failed == 0) failed = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0);
  for (const auto& call : sometimes) {
    std::vector<scmp_arg_cmp> conditions;
    for (const auto& a : call.arguments) conditions.push_back(condition_of(a));
    if (failed == 0)
      failed = seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call.number,
                                      static_cast<unsigned>(conditions.size()), conditions.data());
  }
  if (failed != 0) return sys_error_of(-failed, "build the seccomp filter");
  if (const int loaded = seccomp_load(filter.get()); loaded != 0)
    return sys_error_of(-loaded, "load the seccomp filter");
  return {};
}

}  // namespace coracle::sandbox
