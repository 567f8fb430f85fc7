#include "engine/volumes/volumes.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "engine/base/log.hpp"
#include "engine/base/text.hpp"
#include "engine/request/filter.hpp"
#include "engine/request/mounts.hpp"

namespace coracle {
namespace {

constexpr const char* kAnonymousLabel = "com.docker.volume.anonymous";

bool mounts_volume(const Container& c, const std::string& name) {
  return std::ranges::any_of(c.record.mounts, [&](const MountRecord& m) {
    return m.type == MountType::volume && m.name == name;
  });
}

Result<> check_filters(const Filters& filters) {
  CHECK(check_filter_keys(filters, kVolumeFilterKeys));
  for (const auto& [key, values] : filters) {
    if (key != "dangling") continue;
    std::string all;
    for (const auto& w : values) all += (all.empty() ? "" : " ") + w;
    if (values.size() > 1 || (values.size() == 1 && !parse_go_bool(values[0])))
      return fail(Errc::invalid_argument, "invalid filter 'dangling=[{}]'", all);
  }
  return check_name_filter(filters);
}

}  // namespace

bool Volumes::matches(const storage::Volume& v, const Filters& filters,
                      const NameFilter& names) const {
  return std::ranges::all_of(filters, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values, [&](const auto& w) { return has_label(v.labels, w); });
    if (key == "name") return names.matches(v.name);
    return std::ranges::any_of(values, [&, &k = key](const std::string& w) {
      if (k == "driver") return v.driver == w;
      return parse_go_bool(w) == users(v.name).empty();
    });
  });
}

Task<> Volumes::remove_now(storage::Volume volume) {
  CO_CHECK(co_await context_.storage->remove_volume(volume.name));
  announce(*context_.events, "volume", "destroy", volume.name, {{"driver", volume.driver}});
  co_return Result<>{};
}

// What the file system needs; the container is entered as a user before, so that nobody unmounts it
// meanwhile.
Task<> Volumes::mount_one(std::string name, std::string source) {
  const auto lock = co_await mounting_.lock();
  auto mounted = co_await context_.storage->mount_volume(std::move(name));
  if (!mounted)
    co_return std::unexpected(mounted.error().within("error while mounting volume '{}'", source));
  co_return Result<>{};
}

Coro<void> Volumes::unmount_if_unused(std::string name) {
  const auto lock = co_await mounting_.lock();
  if (mounted_.contains(name)) co_return;
  auto unmounted = co_await context_.storage->unmount_volume(name);
  if (!unmounted && unmounted.error().code != Errc::not_found)
    log::warn("volume stays mounted name={} reason={}", name, unmounted.error().message);
}

std::vector<std::string> Volumes::users(const std::string& name) const {
  std::vector<std::string> ids;
  for (const auto& [id, c] : context_.table.all()) {
    if (mounts_volume(*c, name)) ids.push_back(id);
  }
  if (const auto claimed = claimed_.find(name); claimed != claimed_.end()) {
    for (const auto& id : claimed->second) {
      if (!context_.table.all().contains(id)) ids.push_back(id);
    }
  }
  return ids;
}

Result<std::vector<storage::Volume>> Volumes::list(const Filters& filters) const {
  CHECK(check_filters(filters));
  const NameFilter names(filters);
  std::vector<storage::Volume> out;
  for (auto& v : context_.storage->volumes()) {
    if (matches(v, filters, names)) out.push_back(std::move(v));
  }
  return out;
}

Result<storage::Volume> Volumes::find(const std::string& name) const {
  return context_.storage->find_volume(name);
}

Task<Volumes::Made> Volumes::make(std::string name, std::string driver,
                                  std::map<std::string, std::string> options,
                                  std::map<std::string, std::string> labels) {
  if (!name.empty()) CO_CHECK(storage::check_volume_name(name));
  if (!driver.empty() && driver != "local") {
    if (context_.storage->find_volume(name))
      co_return fail(Errc::conflict,
                     "create {0}: driver 'local' already has volume '{0}': volume name must be "
                     "unique",
                     name);
    co_return fail(Errc::not_found,
                   "create {}: error looking up volume plugin {}: plugin \"{}\" not found", name,
                   driver, driver);
  }
  if (name.empty()) labels[kAnonymousLabel] = "";
  const auto lock = co_await changing_.lock();
  Made made;
  made.is_new = name.empty() || !context_.storage->find_volume(name);
  CO_TRY(made.volume, co_await context_.storage->create_volume(name, labels, options));
  if (made.is_new)
    announce(*context_.events, "volume", "create", made.volume.name,
             {{"driver", made.volume.driver}});
  co_return made;
}

Task<storage::Volume> Volumes::create_now(std::string name, std::string driver,
                                          std::map<std::string, std::string> options,
                                          std::map<std::string, std::string> labels) {
  CO_TRY(auto made,
         co_await make(std::move(name), std::move(driver), std::move(options), std::move(labels)));
  co_return std::move(made.volume);
}

Task<storage::Volume> Volumes::create(std::string name, std::string driver,
                                      std::map<std::string, std::string> options,
                                      std::map<std::string, std::string> labels) {
  return context_.owned("create volume", create_now(std::move(name), std::move(driver),
                                                    std::move(options), std::move(labels)));
}

Task<> Volumes::remove(std::string name, bool force) {
  return context_.owned("remove volume", remove_unused(std::move(name), force));
}

Task<> Volumes::remove_unused(std::string name, bool force) {
  const auto lock = co_await changing_.lock();
  auto volume = context_.storage->find_volume(name);
  if (!volume && volume.error().code == Errc::not_found && force) co_return Result<>{};
  CO_CHECK(volume);
  std::string who;
  for (const auto& id : users(name)) who += (who.empty() ? "" : ", ") + id;
  if (!who.empty()) co_return fail(Errc::conflict, "remove {}: volume is in use - [{}]", name, who);
  co_return co_await remove_now(*std::move(volume));
}

Task<> Volumes::discard(std::string name, std::string container_id) {
  const auto lock = co_await changing_.lock();
  CO_TRY(auto volume, context_.storage->find_volume(name));
  const auto who = users(name);
  const bool others =
      std::ranges::any_of(who, [&](const std::string& id) { return id != container_id; });
  if (others) co_return Result<>{};
  co_return co_await remove_now(std::move(volume));
}

Volumes::Claims::~Claims() {
  for (auto it = volumes_.claimed_.begin(); it != volumes_.claimed_.end();) {
    it->second.erase(id_);
    it = it->second.empty() ? volumes_.claimed_.erase(it) : std::next(it);
  }
}

Task<> Volumes::mount(ContainerPtr c) {
  for (std::size_t i = 0; i < c->record.mounts.size(); ++i) {
    const MountRecord m = c->record.mounts[i];
    if (m.type != MountType::volume) continue;
    CO_TRY(const auto volume, context_.storage->find_volume(m.name));
    mounted_[m.name].insert(c->id());
    if (!volume.options.empty()) {
      CO_CHECK(co_await mount_one(m.name, volume.mountpoint));
    }
  }
  co_return Result<>{};
}

Coro<void> Volumes::unmount(ContainerPtr c) {
  for (std::size_t i = 0; i < c->record.mounts.size(); ++i) {
    const std::string name = c->record.mounts[i].name;
    if (c->record.mounts[i].type != MountType::volume) continue;
    const auto found = mounted_.find(name);
    if (found == mounted_.end() || found->second.erase(c->id()) == 0) continue;
    const bool last = found->second.empty();
    if (last) mounted_.erase(found);
    const auto volume = context_.storage->find_volume(name);
    if (last && volume && volume->needs_mount()) co_await unmount_if_unused(name);
  }
}

void Volumes::adopt(const Container& c) {
  for (const auto& m : c.record.mounts) {
    if (m.type == MountType::volume) mounted_[m.name].insert(c.id());
  }
}

Coro<void> Volumes::reconcile() {
  const auto left = context_.storage->mounted_volumes();
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (!mounted_.contains(left[i])) co_await unmount_if_unused(left[i]);
  }
}

}  // namespace coracle
