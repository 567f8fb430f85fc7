// A container's root file system as a descriptor, for copying in and out.
//
//   it runs    the root of its first process: its own mounts, tmpfs and all
//   it rests   its layer, volumes, binds and images, mounted in a mount namespace of the thread
//   that asks;
//              they are gone with the thread, however it ends
//
// Blocking; on a thread of its own (base/own_thread), never on the loop or a Worker: the mount
// namespace of the thread is changed. The view must be dropped on that thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/process.hpp"
#include "engine/base/result.hpp"
#include "engine/runtime/root_mount.hpp"
#include "engine/spec/generate.hpp"

namespace coracle {

// How it is to be seen: values, made on the loop.
struct RootViewPlan {
  std::optional<ProcessIdentity> process;  // of a container that runs
  runtime::RootMount root;                 // else: this, at `place`, a directory of ours,
  std::string place;
  std::vector<ResolvedMount> mounts;  // with these
  // Nothing will be written: an overlay's own directory is taken as one more layer, since taking
  // down one that can be written to syncs the whole file system below.
  bool read_only = false;
};

class RootView {
 public:
  // errors  conflict (the process has ended), those of mounting
  static Result<RootView> open(const RootViewPlan& plan);
  RootView(RootView&&) = default;
  RootView& operator=(RootView&&) = delete;
  ~RootView();

  [[nodiscard]] const UniqueFd& root() const { return root_; }

 private:
  RootView() = default;
  static Result<RootView> of_process(const ProcessIdentity& who);
  static Result<RootView> of_layer(const RootViewPlan& plan);
  // What fuse-overlayfs serves, detached: the root, and images by destination.
  struct Served {
    UniqueFd root;
    std::map<std::string, UniqueFd> images;
  };
  Result<Served> serve(const RootViewPlan& plan);
  Result<> mount(const RootViewPlan& plan, Served served);

  UniqueFd root_;
  std::string place_;        // mounted there; "" when there is nothing to be taken down
  std::vector<Pidfd> fuse_;  // the programs that serve the root and images
};

// Where `path` leads in the end, as an absolute path without links; what is missing is taken as it
// is written.   errors  invalid_argument (too many links)
Result<std::string> resolve_path(const UniqueFd& root, const std::string& path);

}  // namespace coracle
