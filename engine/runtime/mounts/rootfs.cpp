#include "engine/runtime/mounts/rootfs.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/mounts/copy_up.hpp"
#include "engine/runtime/mounts/devices.hpp"
#include "engine/runtime/mounts/mount_point.hpp"
#include "engine/runtime/mounts/mount_rules.hpp"
#include "engine/runtime/mounts/root_file_system.hpp"

namespace coracle::runtime {
namespace {

constexpr std::uint64_t kPrivate = MS_PRIVATE;
constexpr mode_t kOpenToAll = 01777;

bool refused(const Error& e) { return e.sys == EPERM || e.sys == EACCES || e.sys == EBUSY; }

bool has_cgroup2() {
  struct statfs st {};
  return ::statfs("/sys/fs/cgroup", &st) == 0 && st.f_type == CGROUP2_SUPER_MAGIC;
}

// A bind of a tree of the kernel's own, where a new one is refused: the container shares the host's
// namespace that the tree shows, or the tree here is covered. Read-only all the way down if asked.
Result<UniqueFd> host_tree(const PlannedMount& m, const std::string& path) {
  TRY(auto mount, clone_mount(path, Depth::recursive));
  MountChange change{m.change.set & ~std::uint64_t{MOUNT_ATTR_NOATIME}, 0, MS_PRIVATE};
  CHECK(change_mount(mount, change, Depth::recursive));
  return mount;
}

Result<UniqueFd> make_cgroup(const PlannedMount& m) {
  if (has_cgroup2()) {
    auto mount = make_file_system("cgroup2", "cgroup", {}, m.change.set);
    if (mount || !refused(mount.error())) return mount;
    return host_tree(m, "/sys/fs/cgroup");
  }
  // cgroup v1 gives an unprivileged user nothing to show: an empty directory, as other rootless
  // engines do.
  return make_file_system("tmpfs", "cgroup", {{"mode", "755"}, {"size", "0"}},
                          m.change.set | MOUNT_ATTR_RDONLY);
}

Result<UniqueFd> make_devpts(const PlannedMount& m) {
  auto mount = make_file_system("devpts", m.source, m.data, m.change.set);
  if (mount || mount.error().sys != EINVAL) return mount;
  // Group 5 (tty) exists only where it is mapped: without it the terminals keep their owner's
  // group.
  auto data = m.data;
  std::erase_if(data, [](const FsOption& o) { return o.key == "gid"; });
  return make_file_system("devpts", m.source, data, m.change.set);
}

bool has_mode(const PlannedMount& m) {
  return std::ranges::any_of(m.data, [](const FsOption& o) { return o.key == "mode"; });
}

// The place of a tmpfs without a mode: a directory that the image lacks is everybody's, as a tmpfs
// is by itself, and is so at the next start.
Result<UniqueFd> tmpfs_place(const PlannedMount& m, const UniqueFd& root) {
  const bool is_new = !open_in_root(root, m.destination, O_PATH);
  TRY(auto place, mount_point(root, m.destination, PlaceKind::directory));
  if (const auto readable = is_new ? at::reopen(place) : UniqueFd{}; readable)
    ::fchmod(readable.get(), kOpenToAll);
  return place;
}

// A tmpfs takes the mode of the directory it covers, unless it was given one. As runc does.
Result<UniqueFd> make_tmpfs(const PlannedMount& m, const UniqueFd& place, bool& read_only_later) {
  const std::uint64_t attributes = m.change.set & ~std::uint64_t{MOUNT_ATTR_RDONLY};
  read_only_later = m.read_only();
  auto data = m.data;
  struct stat st {};
  if (!has_mode(m) && ::fstat(place.get(), &st) == 0)
    data.push_back({"mode", fmt::format("{:o}", st.st_mode & ALLPERMS)});
  TRY(auto mount,
      make_file_system("tmpfs", m.source.empty() ? "tmpfs" : m.source, data, attributes));
  if (m.copy_up) CHECK(copy_up(place, mount));
  return mount;
}

// Empty: it was not made before.
UniqueFd taken(MadeBefore& made_before, const std::string& destination) {
  const auto found = made_before.find(destination);
  return found == made_before.end() ? UniqueFd{} : std::move(found->second);
}

// What a bind begins with: by its path, or below it without leaving it.
Result<UniqueFd> clone_source(const PlannedMount& m) {
  const Depth depth = m.recursive ? Depth::recursive : Depth::one;
  if (m.subpath.empty()) return clone_mount(m.source, depth);
  TRY(const auto top, open_dir(m.source));
  auto inside = open_beneath(top, m.subpath);
  if (!inside) return std::unexpected(inside.error().within("cannot access path {}", m.subpath));
  return clone_mount(*inside, depth);
}

Result<UniqueFd> make_bind(const PlannedMount& m, UniqueFd made_before) {
  auto made = made_before ? Result<UniqueFd>(std::move(made_before)) : clone_source(m);
  if (!made && m.subpath.empty() && made.error().sys == ENOENT)
    return fail(Errc::invalid_argument, "bind source path does not exist: {}", m.source);
  if (!made && made.error().sys == EINVAL && !m.recursive)
    return fail(Errc::unsupported,
                "bind {}: it has mounts below it that the host made, and without root the kernel "
                "does not let them be left out; bind it recursively",
                m.source);
  if (!made) return made;
  // Without a wish of its own a bind is private: nothing of it is seen outside.
  MountChange propagation{0, 0, m.change.propagation != 0 ? m.change.propagation : kPrivate};
  const bool deep = m.change.propagation == 0 || m.recursive_propagation;
  CHECK(change_mount(*made, propagation, deep ? Depth::recursive : Depth::one));
  const auto change = [&](MountChange c, Depth depth) -> Result<> {
    c.propagation = 0;
    auto done = change_mount(*made, c, depth);
    if (done || done.error().sys != EPERM) return done;
    // What the source has locked cannot be cleared, and stays: mount_namespaces(7).
    c.clear = 0;
    c.set &= ~std::uint64_t{MOUNT_ATTR__ATIME};
    return change_mount(*made, c, depth);
  };
  CHECK(change(m.change, Depth::one));
  CHECK(change(m.change_recursive, Depth::recursive));
  return made;
}

PlaceKind kind_of(const UniqueFd& at) {
  struct stat st {};
  return ::fstat(at.get(), &st) == 0 && S_ISDIR(st.st_mode) ? PlaceKind::directory
                                                            : PlaceKind::file;
}

Result<> fits(const UniqueFd& place, PlaceKind kind) {
  struct stat st {};
  if (::fstat(place.get(), &st) != 0) return sys_error("look at the mount point");
  if (S_ISDIR(st.st_mode) == (kind == PlaceKind::directory)) return {};
  return fail(Errc::invalid_argument,
              "not a directory: Are you trying to mount a directory onto a file (or vice-versa)? "
              "Check if the specified host path exists and is the expected type");
}

// The layers of an image, read-only.
Result<UniqueFd> make_layers(const PlannedMount& m, UniqueFd prepared) {
  if (!prepared) {
    RootMount layers;
    layers.lower = m.layers();
    TRY(prepared, make_overlay(layers));
  }
  CHECK(change_mount(prepared, {.set = m.change.set}, Depth::one));
  return prepared;
}

// Empty: there is nothing to be mounted on this host.
Result<UniqueFd> make_mount(const PlannedMount& m, const UniqueFd& place, MadeBefore& made_before,
                            bool& read_only_later) {
  auto ready = taken(made_before, m.destination);
  if (m.bind) return make_bind(m, std::move(ready));
  if (ready) return ready;
  if (m.type == "tmpfs") return make_tmpfs(m, place, read_only_later);
  if (m.type == "devpts") return make_devpts(m);
  if (m.type == "cgroup" || m.type == "cgroup2") return make_cgroup(m);
  auto made = make_file_system(m.type, m.source.empty() ? m.type : m.source, m.data, m.change.set);
  if (made || !refused(made.error())) return made;
  if (m.type == "proc") return host_tree(m, "/proc");
  if (m.type == "sysfs") return host_tree(m, "/sys");
  if (m.type == "mqueue") {
    auto host = host_tree(m, "/dev/mqueue");
    // The host's own ipc namespace, and it shows no queues: there are none to show here.
    if (!host && host.error().sys == ENOENT) return UniqueFd{};
    return host;
  }
  return made;
}

Result<PlaceKind> place_kind(const PlannedMount& m) {
  if (!m.bind) return PlaceKind::directory;
  struct stat st {};
  if (!m.subpath.empty()) {
    TRY(const auto top, open_dir(m.source));
    auto inside = open_beneath(top, m.subpath);
    if (!inside) return std::unexpected(inside.error().within("cannot access path {}", m.subpath));
    return kind_of(*inside);
  }
  if (::stat(m.source.c_str(), &st) != 0) {
    if (errno == ENOENT)
      return fail(Errc::invalid_argument, "bind source path does not exist: {}", m.source);
    return sys_error("look at the bind source {}", m.source);
  }
  return S_ISDIR(st.st_mode) ? PlaceKind::directory : PlaceKind::file;
}

Result<> mount_one(const PlannedMount& m, const UniqueFd& root, MadeBefore& made_before,
                   std::vector<UniqueFd>& later) {
  UniqueFd mount;
  PlaceKind kind = PlaceKind::directory;
  const bool layers = m.type == "overlay" || m.type == "fuse-overlayfs";
  if (layers) {
    TRY(mount, make_layers(m, taken(made_before, m.destination)));
    if (!m.subpath.empty()) {
      TRY(mount, part_of_mount(mount, m.subpath, root));
    }
    kind = kind_of(mount);
  } else {
    TRY(kind, place_kind(m));
  }
  CHECK(check_mount_point(m, root));
  TRY(const auto place, m.type == "tmpfs" && !has_mode(m) ? tmpfs_place(m, root)
                                                          : mount_point(root, m.destination, kind));
  bool read_only_later = false;
  CHECK(check_mount_place(m, root, place));
  CHECK(fits(place, kind));
  if (!layers) {
    TRY(mount, make_mount(m, place, made_before, read_only_later));
  }
  if (!mount) return {};
  CHECK(attach(mount, place));
  if (!m.bind && m.change.propagation != 0)
    CHECK(change_mount(mount, {.propagation = m.change.propagation}, Depth::one));
  if (read_only_later) later.push_back(std::move(mount));
  return {};
}

// A path that shall not be seen: a directory becomes an empty read-only one, a file /dev/null.
Result<> mask_one(const UniqueFd& place, UniqueFd& empty) {
  struct stat st {};
  if (::fstat(place.get(), &st) != 0) return sys_error("look at it");
  if (!S_ISDIR(st.st_mode)) {
    TRY(const auto null, clone_null_device());
    return attach(null, place);
  }
  if (empty) {
    TRY(const auto again, clone_mount(empty, Depth::one));
    return attach(again, place);
  }
  TRY(empty, make_file_system(
                 "tmpfs", "tmpfs", {{"size", "0"}, {"mode", "755"}},
                 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC));
  return attach(empty, place);
}

Result<> read_only_one(const UniqueFd& place) {
  TRY(const auto mount, clone_mount(place, Depth::recursive));
  CHECK(change_mount(mount, {.set = MOUNT_ATTR_RDONLY}, Depth::recursive));
  return attach(mount, place);
}

}  // namespace

Result<> set_propagation_of_old_tree(const Plan& plan) {
  // A bind that is to be a slave or shared needs its source's peer group: only what is private from
  // the start is cut off at once.
  const std::uint64_t how =
      plan.root_propagation == MS_UNBINDABLE ? kPrivate : plan.root_propagation;
  if (::mount(nullptr, "/", nullptr, MS_REC | how, nullptr) != 0)
    return sys_error("set the propagation of the mounts");
  return {};
}

Result<std::vector<UniqueFd>> mount_all(const Plan& plan, const UniqueFd& root,
                                        MadeBefore made_before) {
  std::vector<UniqueFd> read_only;
  for (const auto& m : plan.mounts) {
    if (auto done = mount_one(m, root, made_before, read_only); !done)
      return std::unexpected(done.error().within("error mounting \"{}\" to rootfs at \"{}\"",
                                                 m.source.empty() ? m.type : m.source,
                                                 m.destination));
  }
  if (plan.own_dev) CHECK(make_devices(plan, root));
  return read_only;
}

Result<> bind_file(const UniqueFd& root, const std::string& source,
                   const std::string& destination) {
  PlannedMount m;
  m.destination = destination;
  m.source = source;
  m.bind = true;
  m.change.set = MOUNT_ATTR_RDONLY;
  std::vector<UniqueFd> none;
  MadeBefore nothing;
  if (auto done = mount_one(m, root, nothing, none); !done)
    return std::unexpected(done.error().within("mount {} on {}", source, destination));
  return {};
}

Result<> bind_console(const UniqueFd& root, const UniqueFd& slave) {
  TRY(const auto place, mount_point(root, "/dev/console", PlaceKind::file));
  TRY(const auto mount, clone_mount(slave, Depth::one));
  if (auto done = attach(mount, place); !done)
    return std::unexpected(done.error().within("mount the terminal on /dev/console"));
  return {};
}

Result<> mask(const Plan& plan, const UniqueFd& root) {
  for (const auto& path : plan.read_only_paths) {
    const auto place = open_in_root(root, path, O_PATH);
    if (!place && (place.error().sys == ENOENT || place.error().sys == ENOTDIR)) continue;
    if (!place) return std::unexpected(place.error());
    if (auto done = read_only_one(*place); !done)
      return std::unexpected(done.error().within("make {} read-only", path));
  }
  UniqueFd empty;
  for (const auto& path : plan.masked_paths) {
    const auto place = open_in_root(root, path, O_PATH);
    if (!place && (place.error().sys == ENOENT || place.error().sys == ENOTDIR)) continue;
    if (!place) return std::unexpected(place.error());
    if (auto done = mask_one(*place, empty); !done)
      return std::unexpected(done.error().within("mask {}", path));
  }
  return {};
}

Result<> seal(const Plan& plan, const UniqueFd& root, const std::vector<UniqueFd>& read_only) {
  for (const auto& mount : read_only)
    CHECK(change_mount(mount, {.set = MOUNT_ATTR_RDONLY}, Depth::one));
  if (!plan.root_read_only) return {};
  if (auto done = change_mount(root, {.set = MOUNT_ATTR_RDONLY}, Depth::one); !done)
    return std::unexpected(done.error().within("make the root file system read-only"));
  return {};
}

Result<> enter_root(const Plan& plan, const UniqueFd& root) {
  if (::fchdir(root.get()) != 0) return sys_error("enter the root file system");
  // The old root is put on top of the new one, and taken off: pivot_root(2), "pivot_root(".",
  // ".")".
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return sys_error("pivot_root");
  // A slave: taking the tree down here takes nothing down outside.
  if (::mount(nullptr, ".", nullptr, MS_SLAVE | MS_REC, nullptr) != 0)
    return sys_error("detach from the old root");
  if (::umount2(".", MNT_DETACH) != 0) return sys_error("take the old root down");
  if (::chdir("/") != 0) return sys_error("enter the new root");
  if (plan.root_propagation != MS_PRIVATE) {
    const std::uint64_t how =
        plan.root_propagation | (plan.root_propagation_recursive ? std::uint64_t{MS_REC} : 0U);
    if (::mount(nullptr, "/", nullptr, how, nullptr) != 0)
      return sys_error("set the propagation of the root");
  }
  return {};
}

}  // namespace coracle::runtime
