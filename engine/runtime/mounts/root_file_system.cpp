#include "engine/runtime/mounts/root_file_system.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <vector>

#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "engine/runtime/mounts/mount_api.hpp"

namespace coracle::runtime {
namespace {

// fsconfig(2) takes at most 255 bytes; longer paths are named through a descriptor.
constexpr std::size_t kFsconfigLimit = 255;

// A layer's path as it can stand in an option; `keep` holds the descriptor it may need.
Result<std::string> option_path(const std::string& path, std::vector<UniqueFd>& keep) {
  if (path.size() <= kFsconfigLimit && path.find_first_of(":,\\") == std::string::npos) return path;
  TRY(auto fd, open_dir(path));
  auto name = proc_path(fd);
  keep.push_back(std::move(fd));
  return name;
}

// Kernels before 6.8 know no "lowerdir+": all layers in one mount(2), each by a short name.
Result<UniqueFd> legacy_overlay(const RootMount& root, const std::string& path) {
  std::vector<UniqueFd> keep;
  std::string data = "userxattr,lowerdir=";
  for (std::size_t i = 0; i < root.lower.size(); ++i) {
    TRY(auto fd, open_dir(root.lower[i]));
    data += (i > 0 ? ":" : "") + proc_path(fd);
    keep.push_back(std::move(fd));
  }
  if (!root.upper.empty()) {
    TRY(const auto upper, option_path(root.upper, keep));
    TRY(const auto work, option_path(root.work, keep));
    data += ",upperdir=" + upper + ",workdir=" + work;
    if (root.volatile_upper) data += ",volatile";
  }
  if (::mount("overlay", path.c_str(), "overlay", 0, data.c_str()) != 0)
    return sys_error("mount overlay of {} layers on {}", root.lower.size(), path);
  return open_dir(path);
}

// A separator inside a path is escaped, as fuse-overlayfs reads it.
std::string escaped(const std::string& path) {
  std::string out;
  for (const char c : path) {
    if (c == ':' || c == ',' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string fuse_options(const RootMount& root) {
  std::string out = "lowerdir=";
  for (std::size_t i = 0; i < root.lower.size(); ++i)
    out += (i > 0 ? ":" : "") + escaped(root.lower[i]);
  if (!root.upper.empty())
    out += ",upperdir=" + escaped(root.upper) + ",workdir=" + escaped(root.work);
  if (root.volatile_upper) out += ",volatile";
  if (!root.uid_mapping.empty()) out += ",uidmapping=" + root.uid_mapping;
  if (!root.gid_mapping.empty()) out += ",gidmapping=" + root.gid_mapping;
  return out;
}

// The program with its mount; `said` is the reading end of what it says.
struct Started {
  UniqueFd mount, said;
  Pidfd program;
};

Result<Started> spawn_fuse_overlay(const RootMount& root, bool foreground) {
  UniqueFd device(::open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device) return sys_error("open /dev/fuse: the host's fuse module is needed");
  Started out;
  TRY(out.mount, make_file_system("fuse", "fuse-overlayfs",
                                  {{"fd", std::to_string(device.get())},
                                   {"rootmode", "40000"},
                                   {"user_id", "0"},
                                   {"group_id", "0"},
                                   {"default_permissions", std::nullopt},
                                   {"allow_other", std::nullopt}},
                                  0));
  // libfuse takes "/dev/fd/N" for a file system that is mounted already. The program daemonizes
  // when it serves, unless it is told not to; what it says before that is kept for the error.
  constexpr int kDeviceInProgram = 3;
  TRY(auto said, make_pipe());
  TRY(auto null, [] {
    UniqueFd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
    return fd ? Result<UniqueFd>(std::move(fd)) : sys_error("open /dev/null");
  }());
  SpawnOptions options;
  options.program = root.fuse_program.empty() ? "fuse-overlayfs" : root.fuse_program;
  options.argv = {"fuse-overlayfs", "-o", fuse_options(root),
                  "/dev/fd/" + std::to_string(kDeviceInProgram)};
  if (foreground) options.argv.insert(options.argv.begin() + 1, "-f");
  options.new_session = true;
  options.fds = {
      {null.get(), 0}, {null.get(), 1}, {said.write.get(), 2}, {device.get(), kDeviceInProgram}};
  TRY(out.program, spawn(options));
  out.said = std::move(said.read);
  return out;
}

std::unexpected<Error> ended_early(const RootMount& root, const UniqueFd& said, int code) {
  constexpr std::size_t kMostWords = 4096;
  auto words = read_all(said, kMostWords).value_or("");
  while (words.ends_with('\n')) words.pop_back();
  return fail(Errc::internal, "{} ended with code {}{}{}",
              root.fuse_program.empty() ? "fuse-overlayfs" : root.fuse_program, code,
              words.empty() ? "" : ": ", words);
}

}  // namespace

Result<UniqueFd> make_overlay(const RootMount& root) {
  std::vector<UniqueFd> keep;
  std::vector<FsOption> options{{"userxattr", std::nullopt}};
  for (const auto& lower : root.lower) {
    TRY(auto name, option_path(lower, keep));
    options.push_back({root.lower.size() == 1 ? "lowerdir" : "lowerdir+", std::move(name)});
  }
  if (!root.upper.empty()) {
    TRY(auto upper, option_path(root.upper, keep));
    TRY(auto work, option_path(root.work, keep));
    options.push_back({"upperdir", std::move(upper)});
    options.push_back({"workdir", std::move(work)});
    if (root.volatile_upper) options.push_back({"volatile", std::nullopt});
  }
  return make_file_system("overlay", "overlay", options, 0);
}

Result<UniqueFd> start_fuse_overlay(const RootMount& root) {
  TRY(auto started, spawn_fuse_overlay(root, false));
  TRY(const auto status, started.program.wait());
  if (status.code != 0) return ended_early(root, started.said, status.code);
  return std::move(started.mount);
}

Result<FuseOverlay> serve_fuse_overlay(const RootMount& root) {
  TRY(auto started, spawn_fuse_overlay(root, true));
  // Answered once the program serves; an error when it has ended instead.
  struct statfs fs {};
  if (::fstatfs(started.mount.get(), &fs) != 0) {
    (void)started.program.send_signal(SIGKILL);
    TRY(const auto status, started.program.wait());
    return ended_early(root, started.said, status.code);
  }
  return FuseOverlay{std::move(started.mount), std::move(started.program)};
}

Result<UniqueFd> part_of_mount(const UniqueFd& whole, const std::string& path,
                               const UniqueFd& root) {
  CHECK(attach(whole, root));
  const auto inside = open_in_root(whole, path, O_PATH);
  auto part =
      inside
          ? clone_mount(*inside, Depth::one)
          : Result<UniqueFd>(std::unexpected(inside.error().within("cannot access path {}", path)));
  if (::umount2(proc_path(whole).c_str(), MNT_DETACH) != 0)
    return sys_error("take the image's mount away");
  return part;
}

Result<UniqueFd> mount_root(const RootMount& root, const std::string& path, UniqueFd prepared,
                            bool shared) {
  if (shared) {
    TRY(const auto below, open_dir(path));
    TRY(const auto base, make_file_system("tmpfs", "tmpfs", {{"size", "4k"}}, 0));
    CHECK(attach(base, below));
    CHECK(change_mount(base, {.propagation = MS_PRIVATE}, Depth::one));
  }
  UniqueFd mount;
  if (prepared) {
    mount = std::move(prepared);
  } else if (root.type == "overlay") {
    auto made = make_overlay(root);
    if (!made && made.error().sys == EINVAL && root.lower.size() > 1)
      if (auto old_way = legacy_overlay(root, path)) return old_way;
    if (!made) return std::unexpected(made.error().within("root file system"));
    mount = *std::move(made);
  } else if (root.type == "bind" || root.type.empty()) {
    if (root.type == "bind" && root.lower.size() != 1)
      return fail(Errc::invalid_argument, "root file system: bind takes one directory, not {}",
                  root.lower.size());
    TRY(mount, clone_mount(root.type.empty() ? path : root.lower.front(), Depth::recursive));
  } else {
    return fail(Errc::invalid_argument, "root file system: unknown type {}", root.type);
  }
  TRY(const auto place, open_dir(path));
  if (auto done = attach(mount, place); !done)
    return std::unexpected(done.error().within("root file system on {}", path));
  if (shared) CHECK(change_mount(mount, {.propagation = MS_PRIVATE}, Depth::one));
  return mount;
}

}  // namespace coracle::runtime
