#include "engine/runtime/mounts/devices.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/mounts/mount_point.hpp"

namespace coracle::runtime {
namespace {

// Major and minor numbers of Linux's memory devices; see null(4), full(4), random(4), tty(4).
const std::array<oci::Device, 6>& default_devices() {
  static const std::array<oci::Device, 6> devices = {
      oci::Device{"/dev/null", "c", 1, 3, {}, {}, {}},
      oci::Device{"/dev/zero", "c", 1, 5, {}, {}, {}},
      oci::Device{"/dev/full", "c", 1, 7, {}, {}, {}},
      oci::Device{"/dev/random", "c", 1, 8, {}, {}, {}},
      oci::Device{"/dev/urandom", "c", 1, 9, {}, {}, {}},
      oci::Device{"/dev/tty", "c", 5, 0, {}, {}, {}},
  };
  return devices;
}

bool is_device(const UniqueFd& fd, const oci::Device& d) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return false;
  const bool kind = d.type == "b" ? S_ISBLK(st.st_mode) : S_ISCHR(st.st_mode);
  return kind &&
         st.st_rdev == makedev(static_cast<unsigned>(d.major), static_cast<unsigned>(d.minor));
}

// A detached mount of this host's node of that number: by its own name, else by the kernel's index.
Result<UniqueFd> clone_device(const oci::Device& d) {
  const std::string index =
      fmt::format("/dev/{}/{}:{}", d.type == "b" ? "block" : "char", d.major, d.minor);
  for (const auto& path : {d.path, index}) {
    const UniqueFd node(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (node && is_device(node, d)) return clone_mount(node, Depth::one);
  }
  return fail(Errc::not_found, "device {} ({} {}:{}): this host has no such node", d.path, d.type,
              d.major, d.minor);
}

Result<> make_device(const UniqueFd& root, const oci::Device& d) {
  TRY(const auto place, mount_point(root, d.path, PlaceKind::file));
  if (is_device(place, d)) return {};  // a bind of the plan has put it there
  if (d.type == "p") return fail(Errc::unsupported, "device {}: fifos are not made", d.path);
  TRY(const auto node, clone_device(d));
  if (auto done = attach(node, place); !done)
    return std::unexpected(done.error().within("device {}", d.path));
  return {};
}

}  // namespace

Result<UniqueFd> clone_null_device() { return clone_device(default_devices().front()); }

Result<> make_devices(const Plan& plan, const UniqueFd& root) {
  TRY(const auto dev, mount_point(root, "/dev", PlaceKind::directory));
  for (const auto& d : default_devices()) CHECK(make_device(root, d));
  for (const auto& d : plan.devices) CHECK(make_device(root, d));
  constexpr std::array<std::array<const char*, 2>, 6> kLinks = {{{"/proc/self/fd", "fd"},
                                                                 {"/proc/self/fd/0", "stdin"},
                                                                 {"/proc/self/fd/1", "stdout"},
                                                                 {"/proc/self/fd/2", "stderr"},
                                                                 {"/proc/kcore", "core"},
                                                                 {"pts/ptmx", "ptmx"}}};
  for (const auto& [target, name] : kLinks) {
    if (at::make_link(target, dev, name) != 0 && errno != EEXIST)
      return sys_error("link /dev/{} to {}", name, target);
  }
  return {};
}

}  // namespace coracle::runtime
