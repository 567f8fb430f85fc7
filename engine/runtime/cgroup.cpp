#include "engine/runtime/cgroup.hpp"

#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <sstream>

#include "engine/base/file.hpp"
#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

constexpr const char* kRoot = "/sys/fs/cgroup";

// The line of the unified hierarchy: "0::/user.slice/…". See cgroups(7).
std::string own_path() {
  std::istringstream lines(read_file("/proc/self/cgroup").value_or(""));
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with("0::")) return line.substr(3);
  return "/";
}

}  // namespace

CgroupSupport detect_cgroup() {
  CgroupSupport out;
  struct statfs st {};
  if (::statfs(kRoot, &st) != 0) {
    out.reason = "no cgroup file system is mounted on /sys/fs/cgroup";
    return out;
  }
  if (st.f_type != CGROUP2_SUPER_MAGIC) {
    out.kind = CgroupSupport::Kind::v1;
    out.reason =
        "this host uses cgroup v1, which gives no limits to unprivileged users; an administrator "
        "can boot with systemd.unified_cgroup_hierarchy=1";
    return out;
  }
  out.path = own_path();
  const std::string dir = join_path(kRoot, out.path);
  std::istringstream names(read_file(join_path(dir, "cgroup.controllers")).value_or(""));
  for (std::string name; names >> name;) out.controllers.push_back(name);
  const bool ours = ::access(join_path(dir, "cgroup.procs").c_str(), W_OK) == 0 &&
                    ::access(join_path(dir, "cgroup.subtree_control").c_str(), W_OK) == 0;
  out.kind = ours ? CgroupSupport::Kind::delegated : CgroupSupport::Kind::read_only;
  if (!ours)
    out.reason = "the cgroup " + out.path +
                 " is not delegated to this user; a systemd user session or Delegate=yes gives one";
  return out;
}

}  // namespace coracle::runtime
