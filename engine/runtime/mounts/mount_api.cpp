#include "engine/runtime/mounts/mount_api.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace coracle::runtime {
namespace {

// What a file system wrote into its context: "e overlay: …". See fsopen(2).
std::string context_log(const UniqueFd& context) {
  std::string out;
  std::array<char, 512> line{};
  for (;;) {
    const ssize_t n = ::read(context.get(), line.data(), line.size());
    if (n <= 0) return out;
    std::string_view text(line.data(), static_cast<std::size_t>(n));
    while (text.ends_with('\n')) text.remove_suffix(1);
    if (text.size() > 2 && text[1] == ' ') text.remove_prefix(2);
    if (!out.empty()) out += "; ";
    out += text;
  }
}

std::unexpected<Error> context_error(const UniqueFd& context, int sys, const std::string& what) {
  const std::string said = context_log(context);
  return sys_error_of(sys, "{}{}{}", what, said.empty() ? "" : ": ", said);
}

}  // namespace

Result<UniqueFd> create_file_system(const std::string& type, const std::string& source,
                                    const std::vector<FsOption>& options) {
  UniqueFd context(::fsopen(type.c_str(), FSOPEN_CLOEXEC));
  if (!context) return sys_error("create a file system of type {}", type);
  if (!source.empty() &&
      ::fsconfig(context.get(), FSCONFIG_SET_STRING, "source", source.c_str(), 0) != 0)
    return context_error(context, errno, "set the source of " + type);
  for (const auto& o : options) {
    const int r =
        o.value ? ::fsconfig(context.get(), FSCONFIG_SET_STRING, o.key.c_str(), o.value->c_str(), 0)
                : ::fsconfig(context.get(), FSCONFIG_SET_FLAG, o.key.c_str(), nullptr, 0);
    if (r != 0)
      return context_error(
          context, errno,
          fmt::format("{} option {}{}{}", type, o.key, o.value ? "=" : "", o.value.value_or("")));
  }
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
    return context_error(context, errno, "create a file system of type " + type);
  return context;
}

Result<UniqueFd> mount_file_system(const UniqueFd& context, const std::string& type,
                                   std::uint64_t attributes) {
  UniqueFd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes)));
  if (!mount) return context_error(context, errno, "mount a file system of type " + type);
  return mount;
}

Result<UniqueFd> make_file_system(const std::string& type, const std::string& source,
                                  const std::vector<FsOption>& options, std::uint64_t attributes) {
  TRY(const auto context, create_file_system(type, source, options));
  return mount_file_system(context, type, attributes);
}

Result<UniqueFd> clone_mount(const std::string& path, Depth depth) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC |
                         (depth == Depth::recursive ? unsigned{AT_RECURSIVE} : 0U);
  UniqueFd mount(::open_tree(AT_FDCWD, path.c_str(), flags));
  if (!mount) return sys_error("bind {}", path);
  return mount;
}

Result<UniqueFd> clone_mount(const UniqueFd& at, Depth depth) {
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | unsigned{AT_EMPTY_PATH} |
                         (depth == Depth::recursive ? unsigned{AT_RECURSIVE} : 0U);
  UniqueFd mount(::open_tree(at.get(), "", flags));
  if (!mount) return sys_error("bind a descriptor");
  return mount;
}

Result<> attach(const UniqueFd& mount, const UniqueFd& target) {
  if (::move_mount(mount.get(), "", target.get(), "",
                   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return sys_error("attach the mount");
  return {};
}

Result<> change_mount(const UniqueFd& mount, const MountChange& change, Depth depth) {
  mount_attr attr{};
  attr.attr_set = change.set;
  attr.attr_clr = change.clear;
  attr.propagation = change.propagation;
  if (attr.attr_set == 0 && attr.attr_clr == 0 && attr.propagation == 0) return {};
  const int flags = AT_EMPTY_PATH | (depth == Depth::recursive ? AT_RECURSIVE : 0);
  if (::mount_setattr(mount.get(), "", static_cast<unsigned>(flags), &attr, sizeof attr) != 0)
    return sys_error("change the mount's attributes");
  return {};
}

}  // namespace coracle::runtime
