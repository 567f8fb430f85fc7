#include "engine/rootless/hints.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>

#include "engine/base/file.hpp"

namespace coracle::rootless {
namespace {

std::optional<long> read_number(const std::string& path) {
  const auto text = read_file(path, 64);
  if (!text) return std::nullopt;
  long value = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), value);
  if (parsed.ec != std::errc{}) return std::nullopt;
  return value;
}

// Our root is not our namespace's: unshare(2) then refuses user namespaces.
bool is_chrooted() {
  struct stat ours {};
  struct stat real {};
  if (::stat("/", &ours) != 0 || ::stat("/proc/1/root/", &real) != 0) return false;
  return ours.st_ino != real.st_ino || ours.st_dev != real.st_dev;
}

std::string limit_text(const char* name, std::optional<long> value) {
  if (value == 0) {
    return fmt::format(
        "they are switched off here ({} = 0); an administrator can allow them with sysctl -w "
        "{}=15000",
        name, name);
  }
  return fmt::format(
      "the limit {} = {} is used up; an administrator can raise it with sysctl -w {}=60000", name,
      value.value_or(-1), name);
}

std::string reason_for(const std::string& step, int sys, const Knobs& knobs) {
  if (sys == ENOSPC || sys == EUSERS) {
    if (step == step::kMount)
      return limit_text("user.max_mnt_namespaces", knobs.max_mnt_namespaces);
    if (step == step::kNetwork)
      return limit_text("user.max_net_namespaces", knobs.max_net_namespaces);
    return limit_text("user.max_user_namespaces", knobs.max_user_namespaces);
  }
  if (sys != EPERM && sys != EACCES) {
    if (sys == EINVAL && step == step::kUser)
      return "this kernel is built without user namespaces (CONFIG_USER_NS)";
    return {};
  }
  if (knobs.unprivileged_userns_clone == 0) {
    return "only root may make them here (kernel.unprivileged_userns_clone = 0); an administrator "
           "can allow them with sysctl -w kernel.unprivileged_userns_clone=1";
  }
  if (knobs.apparmor_restrict_unprivileged.value_or(0) != 0) {
    return "AppArmor restricts them to programs with a profile "
           "(kernel.apparmor_restrict_unprivileged_userns = 1); an administrator can load "
           "coracle's profile, or allow them for all with sysctl -w "
           "kernel.apparmor_restrict_unprivileged_userns=0";
  }
  if (knobs.chrooted) return "the kernel does not allow it to a process in a chroot";
  return "a security policy refuses it (in a container: its seccomp profile; allow unshare and "
         "mount)";
}

}  // namespace

Knobs read_knobs() {
  return Knobs{read_number("/proc/sys/user/max_user_namespaces"),
               read_number("/proc/sys/user/max_mnt_namespaces"),
               read_number("/proc/sys/user/max_net_namespaces"),
               read_number("/proc/sys/kernel/unprivileged_userns_clone"),
               read_number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
               is_chrooted()};
}

Error explain_refusal(const std::string& step, int sys, const Knobs& knobs) {
  auto error = make_sys_error(sys, step);
  if (const auto reason = reason_for(step, sys, knobs); !reason.empty())
    error.message += ": " + reason;
  return error;
}

}  // namespace coracle::rootless
