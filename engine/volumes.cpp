#include "engine/volumes.hpp"

#include <algorithm>
#include <array>

#include "engine/container/list.hpp"
#include "engine/container/mounts.hpp"

namespace coracle {
namespace {

constexpr std::array kKeys = {"dangling", "driver", "label", "name"};

std::vector<std::string> users_of(const Parts& p, const std::string& name) {
  std::vector<std::string> ids;
  for (const auto& [id, c] : p.table.all()) {
    const bool uses = std::ranges::any_of(c->record.mounts, [&](const MountRecord& m) {
      return m.type == "volume" && m.name == name;
    });
    if (uses) ids.push_back(id);
  }
  return ids;
}

bool matches(const Parts& p, const storage::Volume& v, const Filters& filters) {
  return std::ranges::all_of(filters, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values, [&](const auto& w) { return has_label(v.labels, w); });
    return std::ranges::any_of(values, [&, &k = key](const std::string& w) {
      if (k == "name") return v.name.find(w) != std::string::npos;
      if (k == "driver") return v.driver == w;
      return (w == "true" || w == "1") == users_of(p, v.name).empty();
    });
  });
}

}  // namespace

Result<std::vector<storage::Volume>> list_volumes(const Parts& p, const Filters& filters) {
  for (const auto& [key, values] : filters) {
    if (std::ranges::find(kKeys, key) == kKeys.end())
      return fail(Errc::invalid_argument, "invalid filter '{}'", key);
  }
  std::vector<storage::Volume> out;
  for (auto& v : p.storage->volumes()) {
    if (matches(p, v, filters)) out.push_back(std::move(v));
  }
  return out;
}

Task<storage::Volume> create_volume(Parts& p, std::string name, std::string driver,
                                    std::map<std::string, std::string> options,
                                    std::map<std::string, std::string> labels) {
  if (!name.empty()) CO_CHECK(check_volume_name(name));
  if (!driver.empty() && driver != "local")
    co_return fail(Errc::not_found,
                   "create {}: error looking up volume plugin {}: plugin \"{}\" not found", name,
                   driver, driver);
  if (name.empty()) labels["com.docker.volume.anonymous"] = "";
  const bool is_new = name.empty() || !p.storage->find_volume(name);
  CO_TRY(auto volume, co_await p.storage->create_volume(name, labels, options));
  if (is_new) announce(p, "volume", "create", volume.name, {{"driver", volume.driver}});
  co_return volume;
}

Task<> remove_volume(Parts& p, std::string name, bool force) {
  auto volume = p.storage->find_volume(name);
  if (!volume && volume.error().code == Errc::not_found && force) co_return Result<>{};
  CO_CHECK(volume);
  std::string users;
  for (const auto& id : users_of(p, name)) users += (users.empty() ? "" : ", ") + id;
  if (!users.empty())
    co_return fail(Errc::conflict, "remove {}: volume is in use - [{}]", name, users);
  CO_CHECK(co_await p.storage->remove_volume(name));
  announce(p, "volume", "destroy", name, {{"driver", volume->driver}});
  co_return Result<>{};
}

}  // namespace coracle
