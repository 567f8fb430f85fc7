// The kernel's overlay with `userxattr`: mountable in a user namespace since Linux 5.11.
#include "storage/snapshots/overlay.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/fd.hpp"
#include "engine/base/file.hpp"
#include "storage/snapshots/copy_tree.hpp"
#include "storage/snapshots/root_dir.hpp"

namespace coracle::storage {
namespace {

std::unexpected<Error> refused(const char* step, const char* remedy) {
  const int reason = errno;
  return std::unexpected(
      Error{Errc::unsupported, reason, make_sys_error(reason, step).message + "; " + remedy});
}

class OverlayDriver final : public SnapshotDriver {
 public:
  [[nodiscard]] const char* name() const override { return "overlay"; }
  Result<> prepare(const std::string& dir, const std::vector<std::string>& lower) const override {
    return prepare_upper(dir, lower);
  }
  [[nodiscard]] MountPlan plan(const std::string& dir,
                               const std::vector<std::string>& lower) const override {
    return upper_plan("overlay", dir, lower);
  }
  Result<> probe(const std::string& scratch) const override {
    CHECK(make_probe_dirs(scratch));
    const std::string at = scratch + "/merged";
    const std::string options = fmt::format(
        "lowerdir={0}/top:{0}/base,upperdir={0}/upper,workdir={0}/work,userxattr", scratch);
    if (::mount("overlay", at.c_str(), "overlay", 0, options.c_str()) != 0) {
      const int reason = errno;
      return std::unexpected(Error{Errc::unsupported, reason, why_not_mounted(reason)});
    }
    auto works = check_probe(scratch);
    if (::umount2(at.c_str(), MNT_DETACH) != 0 && works) works = sys_error("unmount {}", at);
    return works;
  }
  [[nodiscard]] std::string upper(const std::string& dir) const override { return dir + "/upper"; }

 private:
  static std::string why_not_mounted(int reason) {
    const std::string text = make_sys_error(reason, "mount an overlay").message;
    switch (reason) {
      case EPERM:
        return text +
               "; it needs Linux 5.11 or newer, and no policy against mounts in user namespaces";
      case ENODEV:
        return text +
               "; the kernel has no overlay: an administrator can load it with modprobe overlay";
      case EINVAL:
        return text +
               "; the file system below cannot carry one (no d_type, or an overlay itself): "
               "another data-root helps";
      default: return text;
    }
  }
};

}  // namespace

Result<> prepare_upper(const std::string& dir, const std::vector<std::string>& lower) {
  for (const char* name : {"/upper", "/work"}) {
    if (::mkdir((dir + name).c_str(), 0755) != 0) return sys_error("make {}{}", dir, name);
  }
  if (lower.empty()) {
    // An overlay has at least one lower directory.
    if (::mkdir((dir + "/empty").c_str(), 0755) != 0) return sys_error("make {}/empty", dir);
    return {};
  }
  // The upper directory's own attributes, owner and mode are those of "/" in the container.
  const UniqueFd from(::open(lower.front().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!from) return sys_error("open the layer {}", lower.front());
  const UniqueFd to(::open((dir + "/upper").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!to) return sys_error("open {}/upper", dir);
  CHECK(copy_directory_metadata(from, to));
  return begin_root(to, lower);
}

MountPlan upper_plan(const char* type, const std::string& dir,
                     const std::vector<std::string>& lower) {
  MountPlan plan;
  plan.type = type;
  plan.lower = lower;
  if (plan.lower.empty()) plan.lower.push_back(dir + "/empty");
  plan.upper = dir + "/upper";
  plan.work = dir + "/work";
  return plan;
}

// base/gone and base/dir/old are hidden by what top has; base/file is there to be changed.
Result<> make_probe_dirs(const std::string& scratch) {
  for (const char* name :
       {"/base", "/base/dir", "/top", "/top/dir", "/upper", "/work", "/merged"}) {
    if (::mkdir((scratch + name).c_str(), 0755) != 0) return sys_error("make {}{}", scratch, name);
  }
  for (const char* name : {"/base/gone", "/base/file", "/base/dir/old"})
    CHECK(write_file_atomic(scratch + name, "x", 0644, Durability::unsynced));
  if (::mknod((scratch + "/top/gone").c_str(), S_IFCHR, 0) != 0) {
    return refused("make a whiteout (character device 0/0)",
                   "it needs Linux 5.8 or newer and a file system that keeps device nodes");
  }
  if (::setxattr((scratch + "/top/dir").c_str(), "user.overlay.opaque", "y", 1, 0) != 0) {
    return refused(
        "set user.overlay.opaque",
        "the file system must keep user extended attributes (tmpfs does since Linux 6.6, "
        "NFS does not): another data-root helps");
  }
  return {};
}

Result<> check_probe(const std::string& scratch) {
  const std::string at = scratch + "/merged";
  if (!exists(at + "/file") || exists(at + "/gone") || exists(at + "/dir/old"))
    return fail(Errc::unsupported,
                "whiteouts or opaque directories do not work on this file system");
  // Copies up, then leaves a whiteout.
  const UniqueFd file(::open((at + "/file").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  if (!file) return sys_error("write to a file of a lower layer");
  CHECK(write_all(file, "y"));
  if (::unlink((at + "/dir").c_str()) == 0 || ::rmdir((at + "/dir").c_str()) != 0)
    return sys_error("remove a directory of a lower layer");
  if (::unlink((at + "/file").c_str()) != 0) return sys_error("remove a file of a lower layer");
  if (exists(at + "/file") || !exists(scratch + "/upper/file"))
    return fail(Errc::unsupported, "a file that was removed is still there");
  return {};
}

std::unique_ptr<SnapshotDriver> make_overlay_driver() { return std::make_unique<OverlayDriver>(); }

}  // namespace coracle::storage
