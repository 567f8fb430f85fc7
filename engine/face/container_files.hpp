// The files of a container, which may be created, running, paused or stopped: cp, diff, export,
// commit. All of it is made for the client, and ends with the coroutine that waits for it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/face/archive.hpp"
#include "storage/snapshots/mount_plan.hpp"

namespace coracle::face {

class Files {
 public:
  virtual ~Files() = default;

  //   errors  not_found "Could not find the file P in container C", also of the two copies
  virtual Task<PathStat> stat_path(std::string name, std::string path) = 0;
  // Writes a tar of what is at `path` to `to`, and closes it. `told` is called on the loop, before
  // the first byte.
  virtual Task<> copy_out(std::string name, std::string path, UniqueFd to,
                          std::function<void(const PathStat&)> told) = 0;
  // Reads a tar, plain or compressed, into the directory at `path`.
  //   errors  invalid_argument "extraction point is not a directory", "container rootfs is marked
  //           read-only", "mounted volume is marked read-only"
  virtual Task<> copy_in(std::string name, std::string path, CopyInOptions options,
                         UniqueFd from) = 0;
  virtual Task<std::vector<storage::Change>> changes(std::string name) = 0;
  virtual Task<> export_container(std::string name, UniqueFd to) = 0;
  // The new image's id. A running container is paused meanwhile, unless that is not wanted.
  // Cancelled (its client has left, or the container is being removed), it stops and keeps nothing;
  // the container runs on in any case.
  //   errors  what pausing says; conflict (it is being removed, dead); invalid_argument (name,
  //           instruction)
  virtual Task<std::string> commit(std::string name, CommitRequest request) = 0;
};

}  // namespace coracle::face
