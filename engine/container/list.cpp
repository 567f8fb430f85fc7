#include "engine/container/list.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <regex>

#include "engine/base/path.hpp"
#include "engine/container/ports.hpp"
#include "engine/container/view.hpp"

namespace coracle {
namespace {

constexpr std::array kKeys = {"ancestor", "before",  "since",   "exited",    "expose",
                              "health",   "id",      "is-task", "isolation", "label",
                              "name",     "network", "publish", "status",    "volume"};

bool name_matches(const std::string& name, const std::string& pattern) {
  try {
    const std::regex wanted(pattern, std::regex::extended);
    return std::regex_search(name, wanted) || std::regex_search("/" + name, wanted);
  } catch (const std::regex_error&) {
    return name.find(pattern) != std::string::npos;
  }
}

bool port_matches(const std::string& key, const std::string& wanted) {
  const auto have = parse_port_key(key);
  const auto want = parse_port_key(wanted);
  return have && want && have->proto == want->proto && have->first <= want->last &&
         want->first <= have->last;
}

bool publishes(const ContainerView& v, const std::string& wanted) {
  return std::ranges::any_of(v.ports, [&](const auto& entry) {
    return !entry.second.empty() && port_matches(entry.first, wanted);
  });
}

bool exposes(const ContainerView& v, const std::string& wanted) {
  const auto any = [&](const auto& map) {
    return std::ranges::any_of(
        map, [&](const auto& entry) { return port_matches(entry.first, wanted); });
  };
  return any(v.config.exposed_ports) || any(v.ports);
}

bool has_volume(const ContainerView& v, const std::string& wanted) {
  return std::ranges::any_of(v.mounts, [&](const MountPoint& m) {
    return m.name == wanted || m.destination == wanted || m.source == wanted;
  });
}

bool has_network(const ContainerView& v, const std::string& wanted) {
  return std::ranges::any_of(v.endpoints, [&](const auto& entry) {
    return entry.first == wanted ||
           (!entry.second.network_id.empty() && entry.second.network_id.starts_with(wanted));
  });
}

bool matches_one(const ContainerView& v, const std::string& key, const std::string& wanted) {
  if (key == "id") return v.id.starts_with(wanted);
  if (key == "name") return name_matches(v.name, wanted);
  if (key == "status") return wanted == name_of(v.status);
  if (key == "exited") return v.status == Status::exited && std::to_string(v.exit_code) == wanted;
  if (key == "health") return wanted == (v.health ? v.health->status : "none");
  if (key == "publish") return publishes(v, wanted);
  if (key == "expose") return exposes(v, wanted);
  if (key == "volume") return has_volume(v, wanted);
  if (key == "network") return has_network(v, wanted);
  if (key == "is-task") return wanted != "true" && wanted != "1";
  return true;  // isolation is Windows'; the rest is looked at elsewhere
}

// The image, or one that is built on it.
bool descends_from(const Parts& p, const ContainerView& v, const std::string& wanted) {
  if (v.config.image == wanted) return true;
  const auto ancestor = p.storage->find(wanted);
  if (!ancestor) return false;
  if (ancestor->id == v.image_id) return true;
  const auto own = p.storage->find(v.image_id);
  if (!own || ancestor->diff_ids.empty() || own->diff_ids.size() < ancestor->diff_ids.size())
    return false;
  return std::equal(ancestor->diff_ids.begin(), ancestor->diff_ids.end(), own->diff_ids.begin());
}

struct TimeWindow {
  Time after{-1}, before;
};
Result<TimeWindow> window_of(const Parts& p, const Filters& filters) {
  TimeWindow w;
  for (const char* key : {"before", "since"}) {
    const auto found = filters.find(key);
    if (found == filters.end()) continue;
    for (const auto& ref : found->second) {
      TRY(const auto c, p.table.find(ref));
      (std::string_view(key) == "before" ? w.before : w.after) = c->record.created;
    }
  }
  return w;
}

}  // namespace

bool has_label(const std::map<std::string, std::string>& labels, const std::string& wanted) {
  const auto eq = wanted.find('=');
  const auto found = labels.find(wanted.substr(0, eq));
  return found != labels.end() &&
         (eq == std::string::npos || found->second == wanted.substr(eq + 1));
}

Result<> check_container_filters(const Filters& filters) {
  for (const auto& [key, values] : filters) {
    if (std::ranges::find(kKeys, key) == kKeys.end())
      return fail(Errc::invalid_argument, "invalid filter '{}'", key);
    for (const auto& v : values) {
      int number = 0;
      const auto [end, ec] = std::from_chars(v.data(), v.data() + v.size(), number);
      const bool bad_number = key == "exited" && (ec != std::errc{} || end != v.data() + v.size());
      const bool bad_status = key == "status" && !status_from_name(v);
      const bool bad_port = (key == "publish" || key == "expose") && !parse_port_key(v);
      if (bad_number || bad_status || bad_port)
        return fail(Errc::invalid_argument, "invalid filter '{}={}'", key, v);
    }
  }
  return {};
}

bool container_matches(const ContainerView& v, const Filters& filters) {
  return std::ranges::all_of(filters, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values,
                                 [&](const auto& w) { return has_label(v.config.labels, w); });
    return std::ranges::any_of(values, [&](const auto& w) { return matches_one(v, key, w); });
  });
}

Result<std::vector<ContainerView>> list_containers(const Parts& p, const ListOptions& options) {
  CHECK(check_container_filters(options.filters));
  TRY(const auto window, window_of(p, options.filters));
  const bool all = options.all || options.limit > 0 || options.filters.contains("status");
  std::vector<const Container*> wanted;
  for (const auto& [id, c] : p.table.all()) {
    const auto status = c->status();
    if (!all && !is_alive(status) && status != Status::restarting) continue;
    if (c->record.created <= window.after) continue;
    if (window.before.ns != 0 && c->record.created >= window.before) continue;
    wanted.push_back(c.get());
  }
  std::ranges::stable_sort(wanted, [](const Container* a, const Container* b) {
    return a->record.created > b->record.created;
  });
  const auto ancestors = options.filters.find("ancestor");
  std::vector<ContainerView> out;
  for (const auto* c : wanted) {
    auto view = view_of(p, *c);
    if (!container_matches(view, options.filters)) continue;
    if (ancestors != options.filters.end() && !ancestors->second.empty() &&
        std::ranges::none_of(ancestors->second,
                             [&](const auto& a) { return descends_from(p, view, a); }))
      continue;
    out.push_back(std::move(view));
    if (options.limit > 0 && out.size() == static_cast<std::size_t>(options.limit)) break;
  }
  return out;
}

}  // namespace coracle
