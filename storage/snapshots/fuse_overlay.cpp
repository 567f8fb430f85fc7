// fuse-overlayfs: the overlay as a program, for kernels, file systems and policies where the
// kernel's cannot be used. It reads the same whiteouts and opaque markers (since 1.5
// user.overlay.opaque too), and writes user.fuseoverlayfs.* into the upper directory as well.
#include "storage/snapshots/fuse_overlay.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "storage/snapshots/overlay.hpp"

namespace coracle::storage {
namespace {

constexpr const char* kProgram = "fuse-overlayfs";
constexpr long kFuseMagic = 0x65735546;
constexpr int kProbeWait_ms = 5000;

// What the program wrote so far; its daemon keeps the pipe open.
std::string what_it_said(const UniqueFd& from) {
  std::string text;
  std::array<char, 1024> buffer{};
  if (!set_nonblocking(from, true)) return text;
  while (text.size() < 4096) {
    const auto n = read_some(from, buffer);
    if (!n || *n == 0) break;
    text.append(buffer.data(), *n);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (const auto line = text.find_last_of('\n'); line != std::string::npos) text.erase(0, line + 1);
  return text;
}

class FuseOverlayDriver final : public SnapshotDriver {
 public:
  FuseOverlayDriver() : program_(find_fuse_overlayfs()) {}
  [[nodiscard]] const char* name() const override { return "fuse-overlayfs"; }
  Result<> prepare(const std::string& dir, const std::vector<std::string>& lower) const override {
    return prepare_upper(dir, lower);
  }
  [[nodiscard]] MountPlan plan(const std::string& dir,
                               const std::vector<std::string>& lower) const override {
    auto plan = upper_plan("fuse-overlayfs", dir, lower);
    plan.program = program_;
    return plan;
  }
  [[nodiscard]] std::string upper(const std::string& dir) const override { return dir + "/upper"; }

  Result<> probe(const std::string& scratch) const override {
    if (program_.empty()) {
      return fail(Errc::unsupported,
                  "there is no program fuse-overlayfs in PATH; an administrator can install the "
                  "package fuse-overlayfs");
    }
    const UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
    if (!device) {
      const int reason = errno;
      return std::unexpected(
          Error{Errc::unsupported, reason,
                make_sys_error(reason, "open /dev/fuse").message +
                    "; an administrator can load the module (modprobe fuse) and give the device "
                    "mode 0666"});
    }
    CHECK(make_probe_dirs(scratch));
    CHECK(mount_it(scratch));
    auto works = check_probe(scratch);
    const std::string at = scratch + "/merged";
    if (::umount2(at.c_str(), MNT_DETACH) != 0 && works) works = sys_error("unmount {}", at);
    return works;
  }

 private:
  [[nodiscard]] Result<> mount_it(const std::string& scratch) const {
    const std::string at = scratch + "/merged";
    TRY(auto said, make_pipe());
    SpawnOptions options;
    options.program = program_;
    options.argv = {
        kProgram, "-o",
        fmt::format("lowerdir={0}/top:{0}/base,upperdir={0}/upper,workdir={0}/work", scratch), at};
    options.fds = {{said.write.get(), 1}, {said.write.get(), 2}};
    TRY(const auto process, spawn(options));
    said.write.reset();
    pollfd ended{process.fd().get(), POLLIN, 0};
    if (::poll(&ended, 1, kProbeWait_ms) != 1) {
      static_cast<void>(process.send_signal(SIGKILL));
      static_cast<void>(process.wait());
      return fail(Errc::unsupported, "fuse-overlayfs has not mounted within {} s",
                  kProbeWait_ms / 1000);
    }
    TRY(const auto status, process.wait());
    struct statfs fs {};
    if (status.code == 0 && ::statfs(at.c_str(), &fs) == 0 && fs.f_type == kFuseMagic) return {};
    return fail(Errc::unsupported, "fuse-overlayfs cannot mount: {}", what_it_said(said.read));
  }

  std::string program_;
};

}  // namespace

std::string find_fuse_overlayfs() {
  const char* path = std::getenv("PATH");
  std::string list = path != nullptr && *path != 0 ? path : "/usr/local/bin:/usr/bin:/bin";
  list += ":/usr/sbin:/sbin";
  for (std::size_t at = 0; at <= list.size();) {
    auto colon = list.find(':', at);
    if (colon == std::string::npos) colon = list.size();
    const std::string program = list.substr(at, colon - at) + "/" + kProgram;
    if (program.front() == '/' && ::access(program.c_str(), X_OK) == 0) return program;
    at = colon + 1;
  }
  return {};
}

std::unique_ptr<SnapshotDriver> make_fuse_overlay_driver() {
  return std::make_unique<FuseOverlayDriver>();
}

}  // namespace coracle::storage
