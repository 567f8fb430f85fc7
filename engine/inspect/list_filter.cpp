#include "engine/inspect/list_filter.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/request/ports.hpp"

namespace coracle {
namespace {

bool port_matches(const std::string& key, const std::string& wanted) {
  const auto have = parse_port_key(key);
  const auto want = parse_port_key(wanted);
  return have && want && have->proto == want->proto && have->first <= want->last &&
         want->first <= have->last;
}

// As Docker: the port on the host's side.
bool publishes(const ContainerView& v, const std::string& wanted) {
  return std::ranges::any_of(v.ports, [&](const auto& entry) {
    const auto proto = entry.first.substr(std::min(entry.first.find('/'), entry.first.size()));
    return std::ranges::any_of(entry.second, [&](const PortBinding& b) {
      return port_matches(b.host_port + proto, wanted);
    });
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

}  // namespace

Result<> check_container_filters(const Filters& filters) {
  constexpr std::array kSwitch = {"true", "1", "false", "0", "True", "False", "TRUE", "FALSE"};
  constexpr std::array kHealth = {"none", "starting", "healthy", "unhealthy"};
  CHECK(check_filter_keys(filters, kContainerFilterKeys));
  for (const auto& [key, values] : filters) {
    for (const auto& v : values) {
      int number = 0;
      const auto [end, ec] = std::from_chars(v.data(), v.data() + v.size(), number);
      const bool bad_number = key == "exited" && (ec != std::errc{} || end != v.data() + v.size());
      const bool bad_status = key == "status" && !status_from_name(v);
      const bool bad_port = (key == "publish" || key == "expose") && !parse_port_key(v);
      const bool bad_switch = key == "is-task" && std::ranges::find(kSwitch, v) == kSwitch.end();
      if (bad_number || bad_status || bad_port || bad_switch)
        return fail(Errc::invalid_argument, "invalid filter '{}={}'", key, v);
      if (key == "health" && std::ranges::find(kHealth, v) == kHealth.end())
        return fail(Errc::invalid_argument, "Unrecognised filter value for health: {}", v);
    }
  }
  return check_name_filter(filters);
}

bool ContainerFilter::matches(const ContainerView& v) const {
  return std::ranges::all_of(filters_, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values,
                                 [&](const auto& w) { return has_label(v.config.labels, w); });
    if (key == "name") return names_.matches(v.name) || names_.matches("/" + v.name);
    return std::ranges::any_of(values, [&](const auto& w) { return matches_one(v, key, w); });
  });
}

}  // namespace coracle
