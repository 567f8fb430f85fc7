// The kernel's mount interface by descriptors (fsopen(2), fsmount(2), open_tree(2), move_mount(2),
// mount_setattr(2)): a mount is made detached, given its attributes, and then attached to a place
// that was resolved to a descriptor. No path is used twice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/fd.hpp"
#include "engine/base/result.hpp"

namespace coracle::runtime {

// A parameter of a file system: "size=64k", or a flag ("userxattr").
struct FsOption {
  std::string key;
  std::optional<std::string> value;
  bool operator==(const FsOption&) const = default;
};

// Creates a file system and a detached mount of it.
//   attributes  MOUNT_ATTR_*
//   errors      with what the file system itself said (the context's log)
Result<UniqueFd> make_file_system(const std::string& type, const std::string& source,
                                  const std::vector<FsOption>& options, std::uint64_t attributes);

// Its two halves: the context with the file system (fsopen(2)), and the mount of it.
Result<UniqueFd> create_file_system(const std::string& type, const std::string& source,
                                    const std::vector<FsOption>& options);
Result<UniqueFd> mount_file_system(const UniqueFd& context, const std::string& type,
                                   std::uint64_t attributes);

enum class Depth : std::uint8_t { one, recursive };

// A detached copy of the mount that a path of ours (not the container's) leads to: what a bind
// mount is made of.
Result<UniqueFd> clone_mount(const std::string& path, Depth depth);
// The same of what a descriptor stands for.
Result<UniqueFd> clone_mount(const UniqueFd& at, Depth depth);

// Attaches a detached mount on top of a directory or file.
Result<> attach(const UniqueFd& mount, const UniqueFd& target);

// mount_setattr(2) on a mount's root. What the kernel has locked (nosuid, nodev, … of a mount that
// came from a more privileged namespace) stays as it is.
//   propagation  0 (as it is), MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE
struct MountChange {
  std::uint64_t set = 0;
  std::uint64_t clear = 0;
  std::uint64_t propagation = 0;
};
Result<> change_mount(const UniqueFd& mount, const MountChange& change, Depth depth);

}  // namespace coracle::runtime
