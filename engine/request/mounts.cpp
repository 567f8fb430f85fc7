#include "engine/request/mounts.hpp"

#include <algorithm>

#include "engine/base/path.hpp"
#include "engine/request/mount_request.hpp"
#include "engine/spec/security_options.hpp"
#include "storage/volumes/volume.hpp"

namespace coracle {
namespace {

std::vector<std::string> split_spec(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  for (;;) {
    const auto end = text.find(':', from);
    parts.push_back(text.substr(from, end - from));
    if (end == std::string::npos) return parts;
    from = end + 1;
  }
}

using Mounts = std::vector<MountRecord>;

auto at_place(Mounts& all, const std::string& destination) {
  return std::ranges::find(all, destination, &MountRecord::destination);
}

// Docker's word for what it would relabel.
void name_mode(MountRecord& m) {
  if (m.type == MountType::volume && m.mode.empty()) m.mode = "z";
}

// An image does not get to cover what the kernel shows, nor does a volume that nobody named. (What
// a request binds there is looked at when it is mounted: runtime/mounts/mount_rules.)
Result<> check_anonymous_place(const std::string& destination) {
  // Images with systemd declare it, and Docker mounts it.
  if (destination == "/sys/fs/cgroup") return {};
  for (const std::string top : {"/proc", "/sys"}) {
    if (destination == top || destination.starts_with(top + "/"))
      return fail(
          Errc::invalid_argument,
          "invalid volume specification: '{}': it cannot be mounted because it is inside {}",
          destination, top);
  }
  return {};
}

Result<> add(Mounts& all, MountRecord one) {
  if (at_place(all, one.destination) != all.end())
    return fail(Errc::invalid_argument, "Duplicate mount point: {}", one.destination);
  all.push_back(std::move(one));
  return {};
}

}  // namespace

Result<MountRecord> parse_bind(const std::string& spec) {
  const auto parts = split_spec(spec);
  const bool mode_as_target = parts.size() == 2 && parse_mount_mode(parts[1]);
  if (parts[0].empty() || parts.size() > 3 || mode_as_target)
    return fail(Errc::invalid_argument, "invalid volume specification: '{}'", spec);
  MountRequest m;
  m.target = parts.size() == 1 ? parts[0] : parts[1];
  if (parts.size() > 1) m.source = parts[0];
  const std::string mode = parts.size() == 3 ? parts[2] : "";
  TRY(const auto what, parse_mount_mode(mode));
  m.type = m.source.starts_with('/') ? "bind" : "volume";
  m.read_only = !what.rw;
  // Sections of the other type are refused for what they are.
  if (what.no_copy)
    m.volume = VolumeOptions{.no_copy = true, .labels = {}, .subpath = {}, .driver_config = {}};
  if (!what.propagation.empty()) {
    m.bind.emplace();
    m.bind->propagation = what.propagation;
  }
  auto out = read_mount_request(m);
  if (!out) return std::unexpected(out.error().within("invalid volume specification: '{}'", spec));
  if (out->type == MountType::volume && !out->anonymous)
    CHECK(storage::check_volume_name(out->name));
  out->mode = mode;
  out->create_source = out->type == MountType::bind;
  return out;
}

Result<VolumesFrom> parse_volumes_from(const std::string& spec) {
  if (spec.empty())
    return fail(Errc::invalid_argument, "volumes-from specification cannot be an empty string");
  const auto colon = spec.find(':');
  VolumesFrom out{spec.substr(0, colon), true};
  if (colon == std::string::npos || colon + 1 == spec.size()) return out;
  const std::string mode = spec.substr(colon + 1);
  TRY(const auto what, parse_mount_mode(mode));
  // They are the other container's affair.
  if (what.no_copy || !what.propagation.empty())
    return fail(Errc::invalid_argument, "invalid mode: {}", mode);
  out.rw = what.rw;
  return out;
}

Mounts inherited_mounts(const ContainerRecord& from, bool rw) {
  Mounts out;
  for (MountRecord m : from.mounts) {
    if (m.type == MountType::tmpfs && from.host.tmpfs.contains(m.destination)) continue;
    m.no_copy = true;
    m.rw = m.rw && rw;
    m.mode.clear();
    out.push_back(std::move(m));
  }
  return out;
}

Result<Mounts> plan_mounts(const HostConfig& host, const ContainerConfig& config,
                           Mounts inherited) {
  Mounts all;
  for (const auto& spec : host.binds) {
    TRY(auto one, parse_bind(spec));
    name_mode(one);
    CHECK(add(all, std::move(one)));
  }
  for (const auto& request : host.mounts) {
    TRY(auto one, read_mount_request(request));
    if (one.type == MountType::volume && !one.anonymous)
      CHECK(storage::check_volume_name(one.name));
    name_mode(one);
    CHECK(add(all, std::move(one)));
  }
  for (const auto& [path, options] : host.tmpfs) {
    MountRecord one;
    one.type = MountType::tmpfs;
    CHECK(check_mount_target(path));
    one.destination = clean_path(path);
    one.mode = options;
    TRY(one.options, parse_tmpfs_options(options));
    CHECK(add(all, std::move(one)));
  }
  // From the last to the first: what stands there already, stays.
  for (auto m = inherited.rbegin(); m != inherited.rend(); ++m) (void)add(all, std::move(*m));
  for (const auto& [path, nothing] : config.volumes) {
    MountRecord one;
    one.type = MountType::volume;
    one.anonymous = true;
    // One that is relative (VOLUME data) is meant from "/", as runc takes it.
    const auto place = path.starts_with('/') ? path : "/" + path;
    if (auto ok = check_mount_target(place); !ok)
      return std::unexpected(ok.error().within("invalid volume specification: '{}'", path));
    one.destination = clean_path(place);
    CHECK(check_anonymous_place(one.destination));
    (void)add(all, std::move(one));
  }
  return all;
}

MountPoint shown_mount(const MountRecord& m) {
  MountPoint shown;
  shown.type = name_of(m.type);
  shown.name = m.name;
  shown.source = m.source;
  shown.destination = m.destination;
  if (m.type == MountType::volume) shown.driver = "local";
  shown.mode = m.mode;
  shown.rw = m.rw;
  const bool has_default = m.type == MountType::bind || m.type == MountType::image;
  shown.propagation = has_default && m.propagation.empty() ? "rprivate" : m.propagation;
  return shown;
}

std::vector<std::string> label_warnings(const HostConfig& host, const Mounts& mounts,
                                        bool selinux) {
  std::vector<std::string> warnings;
  if (!selinux) return warnings;
  const auto security = parse_security_options(host.security_opt);
  for (const auto& label : security ? security->labels : std::vector<std::string>{}) {
    if (label == "disable") continue;  // as it is
    warnings.push_back(
        fmt::format("coracle sets no SELinux labels: --security-opt label={} has no effect, and "
                    "the container runs with the label of this user's own processes",
                    label));
  }
  for (const auto& m : mounts) {
    if (m.type != MountType::bind || m.mode.find_first_of("zZ") == std::string::npos) continue;
    warnings.push_back(fmt::format(
        "coracle sets no SELinux labels: {} on {} has no effect, and {} keeps the label it has",
        m.mode, m.destination, m.source));
  }
  return warnings;
}

}  // namespace coracle
