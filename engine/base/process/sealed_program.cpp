#include "engine/base/process/sealed_program.hpp"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/path.hpp"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U  // Linux 6.3
#endif

namespace coracle {
namespace {

constexpr int kSeals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
// Above the numbers that a child's descriptors are given (base/process/process).
constexpr int kLowest = 64;

Result<UniqueFd> out_of_the_way(const UniqueFd& fd) {
  UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kLowest));
  if (!moved) return sys_error("duplicate a descriptor");
  return moved;
}

// By the calls' numbers: the C library's header of mounts and the kernel's exclude each other.
Result<UniqueFd> mount_sealed(const std::string& path) {
  const UniqueFd mount(static_cast<int>(::syscall(
      SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | static_cast<unsigned>(O_CLOEXEC))));
  if (!mount) return sys_error("bind {}", path);
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
  if (::syscall(SYS_mount_setattr, mount.get(), "", AT_EMPTY_PATH, &attr, sizeof attr) != 0)
    return sys_error("make the bind of {} read-only", path);
  return out_of_the_way(mount);
}

UniqueFd make_memfd(const char* name) {
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  UniqueFd fd(::memfd_create(name, kFlags | MFD_EXEC));
  if (!fd && errno == EINVAL) fd.reset(::memfd_create(name, kFlags));
  return fd;
}

}  // namespace

Result<UniqueFd> copy_program_sealed(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat st {};
  if (!file || ::fstat(file.get(), &st) != 0) return sys_error("open {}", path);
  const auto copy = make_memfd("coracle");
  if (!copy) return sys_error("make a memfd for {}", path);
  for (off_t left = st.st_size; left > 0;) {
    const ssize_t n = ::sendfile(copy.get(), file.get(), nullptr, static_cast<std::size_t>(left));
    if (n <= 0) return sys_error_of(n == 0 ? EIO : errno, "copy {}", path);
    left -= n;
  }
  if (::fchmod(copy.get(), 0555) != 0 || ::fcntl(copy.get(), F_ADD_SEALS, kSeals) != 0)
    return sys_error("seal a copy of {}", path);
  // A descriptor for writing would keep execve(2) from it.
  const UniqueFd read_only(::open(proc_path(copy).c_str(), O_RDONLY | O_CLOEXEC));
  if (!read_only) return sys_error("open the copy of {}", path);
  return out_of_the_way(read_only);
}

Result<UniqueFd> seal_program(const std::string& path) {
  auto mount = mount_sealed(path);
  if (mount) return mount;
  auto copy = copy_program_sealed(path);
  if (copy) return copy;
  return std::unexpected(copy.error().within("{}", mount.error().message));
}

bool runs_sealed() {
  const UniqueFd self(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  if (!self) return false;
  const int seals = ::fcntl(self.get(), F_GET_SEALS);
  if (seals >= 0) return (seals & F_SEAL_WRITE) != 0;
  struct statvfs fs {};
  return ::fstatvfs(self.get(), &fs) == 0 && (fs.f_flag & ST_RDONLY) != 0;
}

}  // namespace coracle
