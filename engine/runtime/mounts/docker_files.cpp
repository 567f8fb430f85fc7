#include "engine/runtime/mounts/docker_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

constexpr mode_t kMode = 0755;

}  // namespace

void make_docker_files(const UniqueFd& root) noexcept {
  const auto mark =
      open_in_root(root, "/.dockerenv", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, kMode);
  if (mark) ::fchmod(mark->get(), kMode);  // whatever the umask
  if (const auto place = open_parent_in_root(root, "/etc/mtab"))
    (void)at::make_link("/proc/mounts", place->parent, place->name);
}

}  // namespace coracle::runtime
