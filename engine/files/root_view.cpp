#include "engine/files/root_view.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>

#include <limits.h>

#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/runtime/mounts/mount_api.hpp"
#include "engine/runtime/mounts/mount_point.hpp"
#include "engine/runtime/mounts/root_file_system.hpp"

namespace coracle {
namespace {

constexpr int kFuseEnd_ms = 5000;
constexpr int kMostLinks = 40;  // as the kernel: path_resolution(7)

Result<UniqueFd> open_source(const ResolvedMount& m) {
  if (!m.subpath.empty()) {
    TRY(const auto top, open_dir(m.source));
    return open_beneath(top, m.subpath);
  }
  UniqueFd fd(::open(m.source.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return sys_error("open {}", m.source);
  return fd;
}

// A source that is gone is passed over: the copy may be about something else.
Result<> mount_one(const ResolvedMount& m, const UniqueFd& root) {
  const auto source = open_source(m);
  struct stat st {};
  if (!source || ::fstat(source->get(), &st) != 0) {
    log::debug("mount left out of a view source={} destination={}", m.source, m.destination);
    return {};
  }
  const auto kind = S_ISDIR(st.st_mode) ? runtime::PlaceKind::directory : runtime::PlaceKind::file;
  TRY(const auto place, runtime::mount_point(root, m.destination, kind));
  const auto depth = m.recursive ? runtime::Depth::recursive : runtime::Depth::one;
  TRY(const auto mount, runtime::clone_mount(*source, depth));
  if (!m.rw) {
    runtime::MountChange read_only;
    read_only.set = MOUNT_ATTR_RDONLY;
    CHECK(runtime::change_mount(mount, read_only, runtime::Depth::one));
  }
  return runtime::attach(mount, place);
}

bool is_image(const ResolvedMount& m) { return !m.lower.empty(); }

// As the container has it: read-only. One that cannot be mounted now is passed over.
Result<> mount_image(const ResolvedMount& m, UniqueFd served, const UniqueFd& root) {
  const auto make = [&]() -> Result<UniqueFd> {
    UniqueFd mount = std::move(served);
    if (!mount) {
      runtime::RootMount layers;
      layers.lower = m.lower;
      TRY(mount, runtime::make_overlay(layers));
    }
    CHECK(runtime::change_mount(mount, {.set = MOUNT_ATTR_RDONLY}, runtime::Depth::one));
    if (m.subpath.empty()) return mount;
    return runtime::part_of_mount(mount, m.subpath, root);
  };
  const auto mount = make();
  if (!mount) {
    log::warn("image left out of a view destination={} reason={}", m.destination,
              mount.error().message);
    return {};
  }
  struct stat st {};
  if (::fstat(mount->get(), &st) != 0) return sys_error("look at the image");
  const auto kind = S_ISDIR(st.st_mode) ? runtime::PlaceKind::directory : runtime::PlaceKind::file;
  TRY(const auto place, runtime::mount_point(root, m.destination, kind));
  return runtime::attach(*mount, place);
}

}  // namespace

// What is mounted for views of a container that rests, in a mount namespace that is entered by
// whoever uses it. To be dropped by a thread that is in it.
class RootMounts {
 public:
  // In a new mount namespace of this thread.
  static Result<std::shared_ptr<RootMounts>> make(const RootViewPlan& plan);
  // This thread moves into it.
  Result<> enter() const;
  Result<UniqueFd> open_root() const { return open_dir(place_); }
  RootMounts() = default;
  RootMounts(const RootMounts&) = delete;
  RootMounts& operator=(const RootMounts&) = delete;
  ~RootMounts();

 private:
  // What fuse-overlayfs serves, detached: the root, and images by destination.
  struct Served {
    UniqueFd root;
    std::map<std::string, UniqueFd> images;
  };
  Result<Served> serve(const RootViewPlan& plan);
  Result<> mount(const RootViewPlan& plan, Served served);

  UniqueFd space_;           // the mount namespace
  std::string place_;        // mounted there; "" when there is nothing to be taken down
  std::vector<Pidfd> fuse_;  // the programs that serve the root and images
};

Result<std::shared_ptr<RootMounts>> RootMounts::make(const RootViewPlan& plan) {
  auto mounts = std::make_shared<RootMounts>();
  // Before: the programs must not live in the namespace that their own mounts keep them in.
  auto served = mounts->serve(plan);
  if (!served) return std::unexpected(served.error().within("mount the container's root"));
  if (::unshare(CLONE_FS | CLONE_NEWNS) != 0) return sys_error("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return sys_error("detach the mount namespace");
  mounts->space_.reset(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!mounts->space_) return sys_error("open the mount namespace");
  if (auto done = mounts->mount(plan, *std::move(served)); !done)
    return std::unexpected(done.error().within("mount the container's root"));
  return mounts;
}

Result<> RootMounts::enter() const {
  // A thread that shares its root directory with others cannot: setns(2).
  if (::unshare(CLONE_FS) != 0) return sys_error("leave the other threads' directories");
  if (::setns(space_.get(), CLONE_NEWNS) != 0) return sys_error("enter the mount namespace");
  return {};
}

Result<RootMounts::Served> RootMounts::serve(const RootViewPlan& plan) {
  Served out;
  if (plan.root.type == "fuse-overlayfs") {
    TRY(auto root, runtime::serve_fuse_overlay(plan.root));
    fuse_.push_back(std::move(root.program));
    out.root = std::move(root.mount);
  }
  for (const auto& m : plan.mounts) {
    if (m.type != "fuse-overlayfs") continue;
    runtime::RootMount layers;
    layers.lower = m.lower;
    layers.fuse_program = m.source;
    TRY(auto image, runtime::serve_fuse_overlay(layers));
    fuse_.push_back(std::move(image.program));
    out.images[m.destination] = std::move(image.mount);
  }
  return out;
}

Result<> RootMounts::mount(const RootViewPlan& plan, Served served) {
  TRY(const auto mounted,
      runtime::mount_root(plan.root, plan.place, std::move(served.root), false));
  place_ = plan.place;
  TRY(const auto root, open_root());
  auto mounts = plan.mounts;
  std::ranges::stable_sort(mounts, {}, &ResolvedMount::destination);  // "/a" before "/a/b"
  for (const auto& m : mounts) {
    if (m.type == "tmpfs") continue;
    auto done = is_image(m) ? mount_image(m, std::move(served.images[m.destination]), root)
                            : mount_one(m, root);
    if (!done) return std::unexpected(done.error().within("{} on {}", m.source, m.destination));
  }
  return {};
}

RootMounts::~RootMounts() {
  if (!place_.empty()) ::umount2(place_.c_str(), MNT_DETACH);
  for (auto& program : fuse_) {
    // It ends when its last mount is gone.
    pollfd ended{program.fd().get(), POLLIN, 0};
    if (::poll(&ended, 1, kFuseEnd_ms) != 1) (void)program.send_signal(SIGKILL);
    (void)program.wait();
  }
}

Result<RootView> RootView::of_process(const ProcessIdentity& who) {
  auto process = Pidfd::open(who);
  if (!process) return fail(Errc::conflict, "the container has ended meanwhile");
  RootView view;
  view.root_.reset(
      ::open(fmt::format("/proc/{}/root", who.pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const int reason = errno;
  // Asked after the opening: if it lives still, the number was its own all the time.
  if (process->ended()) return fail(Errc::conflict, "the container has ended meanwhile");
  if (!view.root_) return sys_error_of(reason, "open the root of process {}", who.pid);
  view.pins_layer_ = true;
  return view;
}

Result<RootView> RootView::open(const RootViewPlan& plan) {
  if (plan.process) return of_process(*plan.process);
  if (plan.root.upper.empty()) return of_layer(plan);
  if (!plan.read_only) return writable(plan);
  auto only_read = plan;
  only_read.root.lower.insert(only_read.root.lower.begin(), plan.root.upper);
  only_read.root.upper.clear();
  only_read.root.work.clear();
  auto view = of_layer(only_read);
  // A place to mount a volume on is still missing; or (EBUSY) this kernel does not let a directory
  // be read that is mounted for writing elsewhere.
  if (!view && (view.error().sys == EROFS || view.error().sys == EBUSY)) return writable(plan);
  return view;
}

Result<RootView> RootView::of_layer(const RootViewPlan& plan) {
  RootView view;
  TRY(view.mounts_, RootMounts::make(plan));
  TRY(view.root_, view.mounts_->open_root());
  return view;
}

Result<RootView> RootView::writable(const RootViewPlan& plan) {
  const std::lock_guard lock(plan.shared->mutex_);
  RootView view;
  view.pins_layer_ = true;
  auto mounts = plan.shared->mounts_.lock();
  if (mounts) {
    CHECK(mounts->enter());
  } else {
    TRY(mounts, RootMounts::make(plan));
    plan.shared->mounts_ = mounts;
  }
  TRY(view.root_, mounts->open_root());
  view.mounts_ = std::move(mounts);
  view.shared_ = plan.shared;
  return view;
}

RootView::~RootView() {
  root_.reset();
  if (!mounts_) return;
  if (!shared_) {
    mounts_.reset();
    return;
  }
  const std::lock_guard lock(shared_->mutex_);
  mounts_.reset();
}

Result<std::string> resolve_path(const UniqueFd& root, const std::string& path) {
  const auto push = [](std::deque<std::string>& to, const std::string& text) {
    std::size_t end = text.size();
    while (end > 0) {
      const auto slash = text.rfind('/', end - 1);
      const auto begin = slash == std::string::npos ? 0 : slash + 1;
      if (auto part = text.substr(begin, end - begin); !part.empty() && part != ".")
        to.push_front(std::move(part));
      if (slash == std::string::npos) break;
      end = slash;
    }
  };
  std::deque<std::string> todo;
  push(todo, path);
  std::string at;  // "" is "/"
  int links = 0;
  while (!todo.empty()) {
    const auto part = todo.front();
    todo.pop_front();
    if (part == "..") {
      at.erase(std::min(at.rfind('/'), at.size()));
      continue;
    }
    const std::string next = at + "/" + part;
    const auto found = open_in_root(root, next, O_PATH | O_NOFOLLOW);
    std::array<char, PATH_MAX> text{};
    const auto n = found ? ::readlinkat(found->get(), "", text.data(), text.size()) : -1;
    if (n <= 0) {
      at = next;
      continue;
    }
    if (++links > kMostLinks)
      return fail(Errc::invalid_argument, "{}: too many levels of symbolic links", path);
    const std::string target(text.data(), static_cast<std::size_t>(n));
    if (target.starts_with('/')) at.clear();
    push(todo, target);
  }
  return at.empty() ? "/" : at;
}

}  // namespace coracle
