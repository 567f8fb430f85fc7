// A container's root file system as a descriptor, for copying in and out.
//
//   it runs    the root of its first process: its own mounts, tmpfs and all
//   it rests   its layer, volumes, binds and images, mounted in a mount namespace of the thread
//              that asks; they are gone with the thread, however it ends
//
// A layer is mounted for writing once at a time (two overlays on one upper directory harm each
// other): who comes while it is (WritableRoot) enters the mount namespace of the first, and the
// last to leave takes the mounts down. For reading, everybody mounts it anew.
//
// Blocking; on a thread of its own (base/own_thread), never on the loop or a Worker: the mount
// namespace of the thread is changed. The view must be dropped on that thread.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process/process.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/mounts/root_mount.hpp"
#include "engine/spec/generate.hpp"

namespace coracle {

class RootMounts;

// Of one container: the mounts that copies into it share. Any thread.
class WritableRoot {
 private:
  friend class RootView;
  std::mutex mutex_;  // held while the mounts are made and taken down, too
  std::weak_ptr<RootMounts> mounts_;
};

// How it is to be seen: values, made on the loop.
struct RootViewPlan {
  std::optional<ProcessIdentity> process;  // of a container that runs
  runtime::RootMount root;                 // else: this, at `place`, a directory of ours,
  std::string place;
  std::vector<ResolvedMount> mounts;  // with these
  // Nothing will be written: an overlay's own directory is taken as one more layer, since taking
  // down one that can be written to syncs the whole file system below.
  bool read_only = false;
  std::shared_ptr<WritableRoot> shared;  // of a container that rests
};

class RootView {
 public:
  // errors  conflict (the process has ended), those of mounting
  static Result<RootView> open(const RootViewPlan& plan);
  RootView(RootView&&) noexcept = default;
  RootView& operator=(RootView&&) = delete;
  ~RootView();

  [[nodiscard]] const UniqueFd& root() const { return root_; }
  // The layer is mounted for writing, or as its container has it mounted: it cannot be mounted by
  // another meanwhile.
  [[nodiscard]] bool pins_layer() const { return pins_layer_; }

 private:
  RootView() = default;
  static Result<RootView> of_process(const ProcessIdentity& who);
  static Result<RootView> of_layer(const RootViewPlan& plan);
  static Result<RootView> writable(const RootViewPlan& plan);

  UniqueFd root_;
  std::shared_ptr<RootMounts> mounts_;  // none: of a process
  std::shared_ptr<WritableRoot> shared_;
  bool pins_layer_ = false;
};

// Where `path` leads in the end, as an absolute path without links; what is missing is taken as it
// is written.   errors  invalid_argument (too many links)
Result<std::string> resolve_path(const UniqueFd& root, const std::string& path);

}  // namespace coracle
