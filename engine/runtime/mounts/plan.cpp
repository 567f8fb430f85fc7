#include "engine/runtime/mounts/plan.hpp"

#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/path.hpp"

namespace coracle::runtime {
namespace {

// An option that is the mount's own: which attribute, and whether it is set or cleared. With an "r"
// before its name it is meant for the mounts below too.
struct Attribute {
  std::string_view name;
  std::uint64_t set;
  std::uint64_t clear;
};
constexpr std::array kAttributes = {
    Attribute{"ro", MOUNT_ATTR_RDONLY, 0},
    Attribute{"rw", 0, MOUNT_ATTR_RDONLY},
    Attribute{"nosuid", MOUNT_ATTR_NOSUID, 0},
    Attribute{"suid", 0, MOUNT_ATTR_NOSUID},
    Attribute{"nodev", MOUNT_ATTR_NODEV, 0},
    Attribute{"dev", 0, MOUNT_ATTR_NODEV},
    Attribute{"noexec", MOUNT_ATTR_NOEXEC, 0},
    Attribute{"exec", 0, MOUNT_ATTR_NOEXEC},
    Attribute{"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    Attribute{"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    Attribute{"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    Attribute{"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    Attribute{"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    Attribute{"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    Attribute{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    Attribute{"diratime", 0, MOUNT_ATTR_NODIRATIME},
    Attribute{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    Attribute{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

// Ours, beyond the specification's: a path below the source.
constexpr std::string_view kSubpath = "coracle.subpath=";

struct Propagation {
  std::string_view name;
  std::uint64_t value;
  bool recursive;
};
constexpr std::array kPropagations = {
    Propagation{"private", MS_PRIVATE, false},
    Propagation{"rprivate", MS_PRIVATE, true},
    Propagation{"slave", MS_SLAVE, false},
    Propagation{"rslave", MS_SLAVE, true},
    Propagation{"shared", MS_SHARED, false},
    Propagation{"rshared", MS_SHARED, true},
    Propagation{"unbindable", MS_UNBINDABLE, false},
    Propagation{"runbindable", MS_UNBINDABLE, true},
};

template <class Table>
auto find(const Table& table, std::string_view name) {
  const auto found = std::ranges::find_if(table, [&](const auto& e) { return e.name == name; });
  return found == table.end() ? nullptr : &*found;
}

// A later option wins over an earlier one, as in mount(8).
void apply(MountChange& change, const Attribute& a) {
  change.set = (change.set & ~a.clear) | a.set;
  change.clear = (change.clear & ~a.set) | a.clear;
}

Result<> take_option(PlannedMount& m, const std::string& option) {
  if (option == "bind" || option == "rbind") {
    m.bind = true;
    m.recursive = option == "rbind";
  } else if (option == "tmpcopyup") {
    m.copy_up = true;
  } else if (option == "idmap" || option == "ridmap") {
    return fail(Errc::unsupported, "mount {}: option {} is not supported", m.destination, option);
  } else if (option == "defaults" || option == "remount" || option.empty()) {
    // Nothing to do: each mount is made once.
  } else if (const auto* p = find(kPropagations, option)) {
    m.change.propagation = p->value;
    m.recursive_propagation = p->recursive;
  } else if (const auto* a = find(kAttributes, option)) {
    apply(m.change, *a);
  } else if (const auto* r = find(kAttributes, std::string_view(option).substr(1));
             option.starts_with('r') && r != nullptr) {
    apply(m.change, *r);
    apply(m.change_recursive, *r);
  } else if (option.starts_with(kSubpath)) {
    m.subpath = option.substr(kSubpath.size());
  } else if (const auto equal = option.find('='); equal != std::string::npos) {
    m.data.push_back(FsOption{option.substr(0, equal), option.substr(equal + 1)});
  } else {
    m.data.push_back(FsOption{option, std::nullopt});
  }
  return {};
}

}  // namespace

bool PlannedMount::read_only() const { return (change.set & MOUNT_ATTR_RDONLY) != 0; }

std::vector<std::string> PlannedMount::layers() const {
  std::vector<std::string> out;
  for (const auto& o : data) {
    if (o.key == "lowerdir+") out.push_back(o.value.value_or(""));
  }
  return out;
}

Result<Plan> make_plan(const oci::Spec& spec) {
  Plan plan;
  plan.root_read_only = spec.root.readonly;
  plan.root_propagation = MS_PRIVATE;
  if (const auto& wanted = spec.linux.rootfs_propagation; !wanted.empty()) {
    const auto* p = find(kPropagations, wanted);
    if (p == nullptr)
      return fail(Errc::invalid_argument, "rootfsPropagation {}: unknown propagation", wanted);
    plan.root_propagation = p->value;
    plan.root_propagation_recursive = p->recursive;
  }
  for (const auto& m : spec.mounts) {
    if (!m.destination.starts_with('/'))
      return fail(Errc::invalid_argument, "mount {}: the destination must be an absolute path",
                  m.destination);
    PlannedMount out;
    out.destination = clean_path(m.destination);
    out.type = m.type;
    out.source = m.source;
    out.bind = m.type == "bind";
    for (const auto& option : m.options) CHECK(take_option(out, option));
    if (out.destination == "/")
      return fail(Errc::invalid_argument, "invalid specification: destination can't be '/'");
    if (out.bind && !out.source.starts_with('/'))
      return fail(Errc::invalid_argument, "mount {}: the source {} must be an absolute path",
                  out.destination, out.source.empty() ? "\"\"" : out.source);
    if (out.bind && out.destination == "/dev") plan.own_dev = false;
    plan.mounts.push_back(std::move(out));
  }
  plan.devices = spec.linux.devices;
  for (const auto& p : spec.linux.masked_paths) plan.masked_paths.push_back(clean_path(p));
  for (const auto& p : spec.linux.readonly_paths) plan.read_only_paths.push_back(clean_path(p));
  return plan;
}

}  // namespace coracle::runtime
