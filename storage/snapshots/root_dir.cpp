#include "storage/snapshots/root_dir.hpp"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace coracle::storage {
namespace {

constexpr mode_t kModeBits = 07777;

Result<UniqueFd> open_root(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return sys_error("open the layer {}", path);
  return fd;
}

Result<RootDir> root_of(const UniqueFd& directory) {
  struct stat st {};
  if (::fstat(directory.get(), &st) != 0) return sys_error("look at a layer's directory");
  return RootDir{st.st_mode & kModeBits, st.st_uid, st.st_gid};
}

}  // namespace

Result<RootDir> root_above(const std::vector<std::string>& lower) {
  for (const auto& layer : lower) {
    TRY(const auto directory, open_root(layer));
    if (::fgetxattr(directory.get(), kRootMark, nullptr, 0) >= 0) return root_of(directory);
  }
  return RootDir{};
}

Result<> begin_root(const UniqueFd& root, const std::vector<std::string>& lower) {
  TRY(const auto wanted, root_above(lower));
  if (::fchown(root.get(), wanted.uid, wanted.gid) != 0) return sys_error("own the root directory");
  if (::fchmod(root.get(), wanted.mode) != 0) return sys_error("set the root directory's mode");
  return {};
}

Result<UniqueFd> changed_root(const DiffSource& source) {
  TRY(auto root, open_root(source.upper.empty() ? source.copy : source.upper));
  TRY(const auto now, root_of(root));
  TRY(const auto begun, root_above(source.lower));
  if (now == begun) return UniqueFd();
  return root;
}

}  // namespace coracle::storage
