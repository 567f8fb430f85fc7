#include "engine/runtime/mounts/mount_rules.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/at.hpp"
#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

constexpr const char* kProc = "/proc";
constexpr const char* kSys = "/sys";

// A file system in user space shows a container its own figures here.
constexpr std::array<std::string_view, 10> kAllowed = {"/proc/cpuinfo",
                                                       "/proc/diskstats",
                                                       "/proc/meminfo",
                                                       "/proc/stat",
                                                       "/proc/swaps",
                                                       "/proc/uptime",
                                                       "/proc/loadavg",
                                                       "/proc/slabinfo",
                                                       "/proc/sys/kernel/ns_last_pid",
                                                       "/proc/sys/crypto/fips_enabled"};

bool is_procfs(const UniqueFd& at) {
  struct statfs st {};
  return ::fstatfs(at.get(), &st) == 0 && st.f_type == PROC_SUPER_MAGIC;
}

bool is_same(const UniqueFd& a, const UniqueFd& b, bool file_system_alone) {
  struct stat x {
  }, y{};
  return ::fstat(a.get(), &x) == 0 && ::fstat(b.get(), &y) == 0 && x.st_dev == y.st_dev &&
         (file_system_alone || x.st_ino == y.st_ino);
}

enum class Where : std::uint8_t { elsewhere, on_proc, below_proc };

// By its name, and by where that led: a link of the image may lead into /proc.
Where where(const std::string& destination, const UniqueFd& root, const UniqueFd& place) {
  if (destination == kProc) return Where::on_proc;
  if (destination.starts_with("/proc/")) return Where::below_proc;
  if (!is_procfs(place)) return Where::elsewhere;
  const auto proc = open_in_root(root, kProc, O_PATH);
  if (!proc || !is_same(*proc, place, true)) return Where::elsewhere;  // another one, of a bind
  return is_same(*proc, place, false) ? Where::on_proc : Where::below_proc;
}

bool is_a_procfs(const PlannedMount& m) {
  if (!m.bind) return m.type == "proc";
  const auto source = open_dir(m.source);
  return source && m.subpath.empty() && is_procfs(*source);
}

Result<> check_below_proc(const PlannedMount& m) {
  if (m.bind && std::ranges::find(kAllowed, m.destination) != kAllowed.end()) return {};
  return fail(Errc::invalid_argument, "\"{}\" cannot be mounted because it is inside /proc",
              m.destination);
}

}  // namespace

Result<> check_mount_point(const PlannedMount& m, const UniqueFd& root) {
  if (m.destination.starts_with("/proc/")) CHECK(check_below_proc(m));
  const bool kernels = !m.bind && (m.type == "proc" || m.type == "sysfs");
  if (!kernels && m.destination != kProc && m.destination != kSys) return {};
  const auto place = open_parent_in_root(root, m.destination);
  struct stat st {};
  if (!place || at::look(place->parent, place->name, st) != 0) return {};  // it will be made
  if (S_ISDIR(st.st_mode)) return {};
  return fail(Errc::invalid_argument, "filesystem \"{}\" must be mounted on ordinary directory",
              m.type);
}

Result<> check_mount_place(const PlannedMount& m, const UniqueFd& root, const UniqueFd& place) {
  switch (where(m.destination, root, place)) {
    case Where::elsewhere: return {};
    case Where::on_proc:
      if (is_a_procfs(m)) return {};
      return fail(Errc::invalid_argument, "\"{}\" cannot be mounted because it is not of type proc",
                  m.destination);
    case Where::below_proc: return check_below_proc(m);
  }
  return {};
}

}  // namespace coracle::runtime
