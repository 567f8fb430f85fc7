#include "storage/snapshots/snapshot.hpp"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>

#include "engine/base/file.hpp"
#include "engine/base/ident.hpp"
#include "engine/base/log.hpp"

namespace coracle::storage {
namespace {

// Names as `docker info` shows them.
std::string file_system_name(const std::string& dir) {
  struct statfs fs {};
  if (::statfs(dir.c_str(), &fs) != 0) return "<unknown>";
  switch (static_cast<unsigned long>(fs.f_type)) {
    case 0xEF53: return "extfs";
    case 0x58465342: return "xfs";
    case 0x9123683E: return "btrfs";
    case 0x01021994: return "tmpfs";
    case 0x2FC12FC1: return "zfs";
    case 0xF2F52010: return "f2fs";
    case 0x6969: return "nfs";
    case 0x794C7630: return "overlayfs";
    case 0x65735546: return "fuse";
    case 0xCA451A4E: return "bcachefs";
    default: return fmt::format("{:#x}", static_cast<unsigned long>(fs.f_type));
  }
}

Result<> probe(const SnapshotDriver& driver, const std::string& root) {
  const std::string scratch = root + "/tmp/probe-" + random_id().substr(0, 12);
  CHECK(make_dirs(root + "/tmp"));
  if (::mkdir(scratch.c_str(), 0700) != 0) return sys_error("make {}", scratch);
  auto works = driver.probe(scratch);
  if (auto gone = remove_tree(scratch); !gone)
    log::warn("a scratch directory stays reason={}", gone.error().message);
  return works;
}

// A full disk says nothing about the driver, and a daemon that does not start frees nothing.
Result<> try_driver(const SnapshotDriver& driver, const std::string& root) {
  auto works = probe(driver, root);
  if (works || (works.error().sys != ENOSPC && works.error().sys != EDQUOT)) return works;
  log::warn("storage driver taken without a trial reason={}", works.error().message);
  return {};
}

}  // namespace

Result<std::unique_ptr<SnapshotDriver>> driver_by_name(const std::string& name) {
  if (name == "overlay" || name == "overlay2") return make_overlay_driver();
  if (name == "fuse-overlayfs") return make_fuse_overlay_driver();
  if (name == "copy" || name == "vfs") return make_copy_driver();
  return fail(Errc::invalid_argument,
              "there is no storage driver {}; there are auto, overlay, fuse-overlayfs and copy",
              name);
}

Result<DriverChoice> choose_driver(const std::string& root, const std::string& wanted) {
  DriverChoice choice;
  choice.status.emplace_back("Backing Filesystem", file_system_name(root));
  if (!wanted.empty() && wanted != "auto") {
    TRY(auto driver, driver_by_name(wanted));
    if (auto works = try_driver(*driver, root); !works) {
      return fail(Errc::unsupported,
                  "storage driver {} cannot be used here: {}; or set \"storage-driver\": \"auto\"",
                  wanted, works.error().message);
    }
    choice.driver = std::move(driver);
    return choice;
  }
  for (const char* name : {"overlay", "fuse-overlayfs", "copy"}) {
    TRY(auto driver, driver_by_name(name));
    auto works = try_driver(*driver, root);
    if (works) {
      choice.driver = std::move(driver);
      return choice;
    }
    choice.status.emplace_back(fmt::format("Why not {}", name), works.error().message);
  }
  return fail(Errc::internal, "no storage driver works");  // copy needs nothing
}

}  // namespace coracle::storage
