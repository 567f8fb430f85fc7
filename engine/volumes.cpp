#include "engine/volumes.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/base/log.hpp"
#include "engine/container/mounts.hpp"
#include "engine/container/pattern.hpp"

namespace coracle {
namespace {

constexpr std::array kVolumeFilters = {"dangling", "driver", "label", "name"};
constexpr const char* kAnonymousLabel = "com.docker.volume.anonymous";

bool mounts_volume(const Container& c, const std::string& name) {
  return std::ranges::any_of(
      c.record.mounts, [&](const MountRecord& m) { return m.type == "volume" && m.name == name; });
}

// As Go reads it (strconv.ParseBool).
std::optional<bool> parse_bool(const std::string& text) {
  static constexpr std::array kTrue = {"1", "t", "T", "true", "TRUE", "True"};
  static constexpr std::array kFalse = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kTrue, text) != kTrue.end()) return true;
  if (std::ranges::find(kFalse, text) != kFalse.end()) return false;
  return std::nullopt;
}

bool matches(const Parts& p, const storage::Volume& v, const Filters& filters,
             const NameFilter& names) {
  return std::ranges::all_of(filters, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values, [&](const auto& w) { return has_label(v.labels, w); });
    if (key == "name") return names.matches(v.name);
    return std::ranges::any_of(values, [&, &k = key](const std::string& w) {
      if (k == "driver") return v.driver == w;
      return parse_bool(w) == users_of_volume(p, v.name).empty();
    });
  });
}

Result<> check_filters(const Filters& filters) {
  for (const auto& [key, values] : filters) {
    if (std::ranges::find(kVolumeFilters, key) == kVolumeFilters.end())
      return fail(Errc::invalid_argument, "invalid filter '{}'", key);
    if (key != "dangling") continue;
    std::string all;
    for (const auto& w : values) all += (all.empty() ? "" : " ") + w;
    if (values.size() > 1 || (values.size() == 1 && !parse_bool(values[0])))
      return fail(Errc::invalid_argument, "invalid filter 'dangling=[{}]'", all);
  }
  return check_name_filter(filters);
}

Task<> remove_now(Parts& p, storage::Volume volume) {
  CO_CHECK(co_await p.storage->remove_volume(volume.name));
  announce(p, "volume", "destroy", volume.name, {{"driver", volume.driver}});
  co_return Result<>{};
}

// What the file system needs; the container is entered as a user before, so that nobody unmounts it
// meanwhile.
Task<> mount_one(Parts& p, std::string name, std::string source) {
  const auto turn = co_await p.volume_users.mounting.take();
  auto mounted = co_await p.storage->mount_volume(std::move(name));
  if (!mounted)
    co_return std::unexpected(mounted.error().within("error while mounting volume '{}'", source));
  co_return Result<>{};
}

Coro<void> unmount_if_unused(Parts& p, std::string name) {
  const auto turn = co_await p.volume_users.mounting.take();
  if (p.volume_users.mounted.contains(name)) co_return;
  auto unmounted = co_await p.storage->unmount_volume(name);
  if (!unmounted && unmounted.error().code != Errc::not_found)
    log::warn("volume stays mounted name={} reason={}", name, unmounted.error().message);
}

}  // namespace

std::vector<std::string> users_of_volume(const Parts& p, const std::string& name) {
  std::vector<std::string> ids;
  for (const auto& [id, c] : p.table.all()) {
    if (mounts_volume(*c, name)) ids.push_back(id);
  }
  if (const auto claimed = p.volume_users.claimed.find(name);
      claimed != p.volume_users.claimed.end()) {
    for (const auto& id : claimed->second) {
      if (!p.table.all().contains(id)) ids.push_back(id);
    }
  }
  return ids;
}

Result<std::vector<storage::Volume>> list_volumes(const Parts& p, const Filters& filters) {
  CHECK(check_filters(filters));
  const NameFilter names(filters);
  std::vector<storage::Volume> out;
  for (auto& v : p.storage->volumes()) {
    if (matches(p, v, filters, names)) out.push_back(std::move(v));
  }
  return out;
}

Task<MadeVolume> make_volume(Parts& p, std::string name, std::string driver,
                             std::map<std::string, std::string> options,
                             std::map<std::string, std::string> labels) {
  if (!name.empty()) CO_CHECK(storage::check_volume_name(name));
  if (!driver.empty() && driver != "local") {
    if (p.storage->find_volume(name))
      co_return fail(Errc::conflict,
                     "create {0}: driver 'local' already has volume '{0}': volume name must be "
                     "unique",
                     name);
    co_return fail(Errc::not_found,
                   "create {}: error looking up volume plugin {}: plugin \"{}\" not found", name,
                   driver, driver);
  }
  if (name.empty()) labels[kAnonymousLabel] = "";
  const auto turn = co_await p.volume_users.changing.take();
  MadeVolume made;
  made.is_new = name.empty() || !p.storage->find_volume(name);
  CO_TRY(made.volume, co_await p.storage->create_volume(name, labels, options));
  if (made.is_new)
    announce(p, "volume", "create", made.volume.name, {{"driver", made.volume.driver}});
  co_return made;
}

Task<storage::Volume> create_volume(Parts& p, std::string name, std::string driver,
                                    std::map<std::string, std::string> options,
                                    std::map<std::string, std::string> labels) {
  CO_TRY(auto made, co_await make_volume(p, std::move(name), std::move(driver), std::move(options),
                                         std::move(labels)));
  co_return std::move(made.volume);
}

Task<> remove_volume(Parts& p, std::string name, bool force) {
  const auto turn = co_await p.volume_users.changing.take();
  auto volume = p.storage->find_volume(name);
  if (!volume && volume.error().code == Errc::not_found && force) co_return Result<>{};
  CO_CHECK(volume);
  std::string users;
  for (const auto& id : users_of_volume(p, name)) users += (users.empty() ? "" : ", ") + id;
  if (!users.empty())
    co_return fail(Errc::conflict, "remove {}: volume is in use - [{}]", name, users);
  co_return co_await remove_now(p, *std::move(volume));
}

Task<> discard_volume(Parts& p, std::string name, std::string container_id) {
  const auto turn = co_await p.volume_users.changing.take();
  CO_TRY(auto volume, p.storage->find_volume(name));
  const auto users = users_of_volume(p, name);
  const bool others =
      std::ranges::any_of(users, [&](const std::string& id) { return id != container_id; });
  if (others) co_return Result<>{};
  co_return co_await remove_now(p, std::move(volume));
}

VolumeClaims::~VolumeClaims() {
  for (auto it = users_.claimed.begin(); it != users_.claimed.end();) {
    it->second.erase(id_);
    it = it->second.empty() ? users_.claimed.erase(it) : std::next(it);
  }
}

Task<> mount_volumes(Parts& p, std::shared_ptr<Container> c) {
  for (std::size_t i = 0; i < c->record.mounts.size(); ++i) {
    const MountRecord m = c->record.mounts[i];
    if (m.type != "volume") continue;
    CO_TRY(const auto volume, p.storage->find_volume(m.name));
    p.volume_users.mounted[m.name].insert(c->id());
    if (!volume.options.empty()) {
      CO_CHECK(co_await mount_one(p, m.name, volume.mountpoint));
    }
  }
  co_return Result<>{};
}

Coro<void> unmount_volumes(Parts& p, std::shared_ptr<Container> c) {
  auto& mounted = p.volume_users.mounted;
  for (std::size_t i = 0; i < c->record.mounts.size(); ++i) {
    const std::string name = c->record.mounts[i].name;
    if (c->record.mounts[i].type != "volume") continue;
    const auto found = mounted.find(name);
    if (found == mounted.end() || found->second.erase(c->id()) == 0) continue;
    const bool last = found->second.empty();
    if (last) mounted.erase(found);
    const auto volume = p.storage->find_volume(name);
    if (last && volume && volume->needs_mount()) co_await unmount_if_unused(p, name);
  }
}

void adopt_volumes(Parts& p, const Container& c) {
  for (const auto& m : c.record.mounts) {
    if (m.type == "volume") p.volume_users.mounted[m.name].insert(c.id());
  }
}

Coro<void> look_through_volumes(Parts& p) {
  const auto left = p.storage->mounted_volumes();
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!p.volume_users.mounted.contains(left[i])) co_await unmount_if_unused(p, left[i]);
  }
}

}  // namespace coracle
