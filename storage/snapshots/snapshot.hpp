// Snapshot drivers: how the unpacked layers of an image and a writable layer become a container's
// root file system. All drivers read the same layer directories, in the kernel overlay's own format
// (whiteout: character device 0/0; opaque directory: xattr user.overlay.opaque = "y"); what differs
// is what stands in containers/<id>/ and the MountPlan.
//
//   driver          containers/<id>/  plan                                   what it needs
//   overlay         upper/ work/      overlay: lower…, upper, work           Linux 5.11, user xattrs
//   fuse-overlayfs  upper/ work/      the same, carried out by the program   /dev/fuse, the program
//   copy            root/             bind: root/                            nothing
//
// The probe mounts each for real in a scratch directory of the store, fastest first.
//
// A plan may have 500 lower directories (the kernel's most). They do not fit the one page of
// mount(2)'s options: whoever carries it out gives them one by one, fsconfig(2) "lowerdir+", Linux
// 6.5; on older kernels by mount(2) with paths relative to the layers' directory. fuse-overlayfs
// takes them as one argument (at most 128 KiB, some 250 bytes a path).
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/result.hpp"
#include "storage/snapshots/mount_plan.hpp"

namespace coracle::storage {

// Blocking and thread-safe: called on workers. `dir` is the writable layer's own directory, `lower`
// the image's layer directories (…/diff), topmost first; an image without layers has none.
class SnapshotDriver {
 public:
  virtual ~SnapshotDriver() = default;
  [[nodiscard]] virtual const char* name() const = 0;
  // Makes what a fresh writable layer needs in `dir`, which exists and is empty.
  virtual Result<> prepare(const std::string& dir, const std::vector<std::string>& lower) const = 0;
  // Pure: how a prepared layer is to be mounted.
  [[nodiscard]] virtual MountPlan plan(const std::string& dir,
                                       const std::vector<std::string>& lower) const = 0;
  // Tries it for real in `scratch`, an empty directory on the store's file system, and leaves
  // nothing mounted.   errors: why it cannot be used here, with the remedy
  virtual Result<> probe(const std::string& scratch) const = 0;
  // The writable layer's upper directory, for diff and commit; "" when it has none (copy).
  [[nodiscard]] virtual std::string upper(const std::string& dir) const = 0;
};

std::unique_ptr<SnapshotDriver> make_overlay_driver();
std::unique_ptr<SnapshotDriver> make_fuse_overlay_driver();
std::unique_ptr<SnapshotDriver> make_copy_driver();
// "overlay", "fuse-overlayfs", "copy", and the names they have elsewhere: overlay2, vfs.
//   errors: invalid_argument, listing the names
Result<std::unique_ptr<SnapshotDriver>> driver_by_name(const std::string& name);

struct DriverChoice {
  std::shared_ptr<const SnapshotDriver> driver;
  // As `docker info` shows it: {{"Backing Filesystem", "extfs"}, {"Why not overlay", "…"}}
  std::vector<std::pair<std::string, std::string>> status;
};
// Probes in order, or only `wanted` when it is neither "" nor "auto".
//   root    the store's directory; the scratch directory is made in root/tmp and removed
//   errors  unsupported, with the remedy, when the wanted driver cannot be used here
Result<DriverChoice> choose_driver(const std::string& root, const std::string& wanted);

}  // namespace coracle::storage
