#include "engine/spec/capabilities.hpp"

#include <algorithm>
#include <cctype>

namespace coracle {
namespace {

constexpr const char* kAll = "ALL";

const std::vector<std::string>& default_capabilities() {
  static const std::vector<std::string> kDefault = {
      "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",     "CAP_MKNOD",
      "CAP_NET_RAW", "CAP_SETGID",       "CAP_SETUID",           "CAP_SETFCAP",    "CAP_SETPCAP",
      "CAP_KILL",    "CAP_SYS_CHROOT",   "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"};
  return kDefault;
}

bool contains(const std::vector<std::string>& list, const std::string& name) {
  return std::ranges::find(list, name) != list.end();
}

Result<std::vector<std::string>> normalized(const std::vector<std::string>& names,
                                            const char* field) {
  std::vector<std::string> out;
  for (const auto& name : names) {
    auto one = normalize_capability(name);
    if (!one) return std::unexpected(one.error().within("invalid {}", field));
    out.push_back(*std::move(one));
  }
  return out;
}

}  // namespace

const std::vector<std::string>& all_capabilities() {
  static const std::vector<std::string> kCapabilities = {"CAP_CHOWN",
                                                         "CAP_DAC_OVERRIDE",
                                                         "CAP_DAC_READ_SEARCH",
                                                         "CAP_FOWNER",
                                                         "CAP_FSETID",
                                                         "CAP_KILL",
                                                         "CAP_SETGID",
                                                         "CAP_SETUID",
                                                         "CAP_SETPCAP",
                                                         "CAP_LINUX_IMMUTABLE",
                                                         "CAP_NET_BIND_SERVICE",
                                                         "CAP_NET_BROADCAST",
                                                         "CAP_NET_ADMIN",
                                                         "CAP_NET_RAW",
                                                         "CAP_IPC_LOCK",
                                                         "CAP_IPC_OWNER",
                                                         "CAP_SYS_MODULE",
                                                         "CAP_SYS_RAWIO",
                                                         "CAP_SYS_CHROOT",
                                                         "CAP_SYS_PTRACE",
                                                         "CAP_SYS_PACCT",
                                                         "CAP_SYS_ADMIN",
                                                         "CAP_SYS_BOOT",
                                                         "CAP_SYS_NICE",
                                                         "CAP_SYS_RESOURCE",
                                                         "CAP_SYS_TIME",
                                                         "CAP_SYS_TTY_CONFIG",
                                                         "CAP_MKNOD",
                                                         "CAP_LEASE",
                                                         "CAP_AUDIT_WRITE",
                                                         "CAP_AUDIT_CONTROL",
                                                         "CAP_SETFCAP",
                                                         "CAP_MAC_OVERRIDE",
                                                         "CAP_MAC_ADMIN",
                                                         "CAP_SYSLOG",
                                                         "CAP_WAKE_ALARM",
                                                         "CAP_BLOCK_SUSPEND",
                                                         "CAP_AUDIT_READ",
                                                         "CAP_PERFMON",
                                                         "CAP_BPF",
                                                         "CAP_CHECKPOINT_RESTORE"};
  return kCapabilities;
}

Result<std::string> normalize_capability(const std::string& name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (upper == kAll) return upper;
  if (!upper.starts_with("CAP_")) upper.insert(0, "CAP_");
  if (!contains(all_capabilities(), upper)) {
    return fail(Errc::invalid_argument, "unknown capability: \"{}\"", upper);
  }
  return upper;
}

Result<std::vector<std::string>> container_capabilities(const HostConfig& host) {
  TRY(const auto add, normalized(host.cap_add.items, "CapAdd"));
  TRY(const auto drop, normalized(host.cap_drop.items, "CapDrop"));
  if (host.privileged) return all_capabilities();
  std::vector<std::string> out;
  if (contains(add, kAll)) {
    std::ranges::copy_if(all_capabilities(), std::back_inserter(out),
                         [&](const auto& c) { return !contains(drop, c); });
    return out;
  }
  if (!contains(drop, kAll)) {
    std::ranges::copy_if(default_capabilities(), std::back_inserter(out),
                         [&](const auto& c) { return !contains(drop, c); });
  }
  for (const auto& c : add) {
    if (!contains(out, c)) out.push_back(c);
  }
  return out;
}

}  // namespace coracle
