#include "storage/volumes/options.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/text.hpp"

namespace coracle::storage {
namespace {

struct Flag {
  std::string_view word;
  unsigned long value;
};
constexpr std::array kFlags = {
    Flag{"ro", MS_RDONLY},
    Flag{"nosuid", MS_NOSUID},
    Flag{"nodev", MS_NODEV},
    Flag{"noexec", MS_NOEXEC},
    Flag{"sync", MS_SYNCHRONOUS},
    Flag{"noatime", MS_NOATIME},
    Flag{"nodiratime", MS_NODIRATIME},
    Flag{"relatime", MS_RELATIME},
    Flag{"strictatime", MS_STRICTATIME},
};
// Words that say what is so anyway.
constexpr std::array<std::string_view, 7> kPlain = {"",     "defaults", "rw",   "suid",
                                                    "exec", "dev",      "async"};

const Flag* find_flag(std::string_view word) {
  const auto found = std::ranges::find(kFlags, word, &Flag::word);
  return found == kFlags.end() ? nullptr : &*found;
}

Result<> check_keys(const std::string& name, const std::map<std::string, std::string>& options) {
  for (const auto& [key, value] : options) {
    if (key == "size")
      return fail(Errc::invalid_argument, "create {}: quota size requested but no quota support",
                  name);
    if (key != "type" && key != "o" && key != "device")
      return fail(Errc::invalid_argument, "create {}: invalid option: \"{}\"", name, key);
  }
  for (const char* needed : {"type", "device"}) {
    if (!options.contains(needed))
      return fail(Errc::invalid_argument, "create {}: missing required option: \"{}\"", name,
                  needed);
  }
  return {};
}

}  // namespace

Result<VolumeMount> read_volume_options(const std::string& name,
                                        const std::map<std::string, std::string>& options) {
  VolumeMount out;
  if (options.empty()) return out;
  CHECK(check_keys(name, options));
  const std::string& type = options.at("type");
  out.device = options.at("device");
  const auto o = options.find("o");
  bool bind = type == "bind";
  for (const auto word : split(o == options.end() ? "" : std::string_view(o->second), ',')) {
    if (word == "bind" || word == "rbind") {
      bind = true;
    } else if (find_flag(word) != nullptr) {
      out.flags.emplace_back(word);
    } else if (std::ranges::find(kPlain, word) == kPlain.end()) {
      out.data += (out.data.empty() ? "" : ",") + std::string(word);
    }
  }
  if (type == "tmpfs") {
    out.kind = VolumeMount::Kind::tmpfs;
    return out;
  }
  if (bind && (type == "none" || type == "bind")) {
    if (!out.device.starts_with('/'))
      return fail(Errc::invalid_argument, "create {}: device must be an absolute path: {}", name,
                  out.device);
    out.kind = VolumeMount::Kind::bind;
    return out;
  }
  return fail(
      Errc::unsupported,
      "create {}: a volume of type {} cannot be mounted without root (rootless): the kernel "
      "lets an ordinary user mount tmpfs and binds only; have {} mounted on the host, and "
      "use type=none, o=bind, device=/path",
      name, type, out.device);
}

unsigned long mount_flags(const std::vector<std::string>& words) {
  unsigned long flags = 0;
  for (const auto& word : words) {
    if (const auto* flag = find_flag(word)) flags |= flag->value;
  }
  return flags;
}

}  // namespace coracle::storage
