#include "engine/network/networks.hpp"

#include <algorithm>
#include <array>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"
#include "engine/request/filter.hpp"
#include "engine/spec/modes.hpp"

namespace coracle {
namespace {

constexpr std::array kPredefined = {kBridgeNetwork, kHostNetwork, kNoneNetwork};

struct NetworksFile {
  std::int32_t version = 1;
  Time created;
  std::map<std::string, std::string> ids;
};
void describe(auto& field, NetworksFile& n) {
  field("version", n.version)("created", n.created)("ids", n.ids);
}

bool matches_one(const NetworkView& n, const std::string& key, const std::string& w) {
  if (key == "id") return n.id.starts_with(w);
  if (key == "driver") return n.driver == w;
  if (key == "scope") return w == "local";
  if (key == "type") return w == "builtin";
  return w != "true" && w != "1";  // dangling: predefined ones never are
}

bool matches(const NetworkView& n, const Filters& filters, const NameFilter& names) {
  return std::ranges::all_of(filters, [&](const auto& filter) {
    const auto& [key, values] = filter;
    if (values.empty()) return true;
    if (key == "label")
      return std::ranges::all_of(values, [&](const auto& w) { return has_label(n.labels, w); });
    if (key == "name") return names.matches(n.name);
    return std::ranges::any_of(values,
                               [&, &k = key](const auto& w) { return matches_one(n, k, w); });
  });
}

}  // namespace

std::string driver_of(const std::string& network) {
  return network == kNoneNetwork ? "null" : network;
}

Networks::Networks(Context& context)
    : context_(context),
      netstack_(context.io, context.config.exec_root + "/" + netstack::kSocketName),
      ready_(context.io) {}

void Networks::add_members(NetworkView& network) const {
  for (const auto& [id, c] : context_.table.all()) {
    if (!is_alive(c->state.status) || c->record.host.network_mode != network.name) continue;
    NetworkView::Member member;
    member.name = c->name();
    if (const auto& e = c->state.endpoint) {
      member.endpoint_id = e->endpoint_id;
      member.mac = e->mac;
      if (!e->address.empty()) member.address = e->address + "/" + std::to_string(e->prefix_len);
    }
    network.members[id] = std::move(member);
  }
}

NetworkView Networks::view_of(const std::string& name) const {
  NetworkView n;
  n.id = ids_.at(name);
  n.name = name;
  n.driver = driver_of(name);
  n.created = created_;
  if (name == kBridgeNetwork) {
    n.subnet = bridge_.subnet;
    n.gateway = bridge_.gateway;
    n.options = {{"com.docker.network.bridge.default_bridge", "true"},
                 {"com.docker.network.bridge.enable_icc", "true"},
                 {"com.docker.network.bridge.enable_ip_masquerade", "true"},
                 {"com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"},
                 {"com.docker.network.driver.mtu", std::to_string(bridge_.mtu)}};
  }
  add_members(n);
  return n;
}

Coro<void> Networks::wait_until_ready() {
  while (!is_ready_ && !context_.closing) co_await ready_.wait();
}

void Networks::become_ready() {
  is_ready_ = true;
  ready_.notify_all();
}

Result<> Networks::open() {
  const auto path = context_.config.data_root + "/networks.json";
  NetworksFile file;
  if (const auto text = read_file(path)) {
    if (auto known = json::from_text<NetworksFile>(*text)) file = *std::move(known);
  }
  bool complete = file.created.ns != 0;
  for (const char* name : kPredefined) complete = complete && is_hex_id(file.ids[name]);
  if (!complete) {
    file.created = now();
    for (const char* name : kPredefined) file.ids[name] = random_id();
    CHECK(write_file_atomic(path, json::to_text(file)));
  }
  ids_ = std::move(file.ids);
  created_ = file.created;
  return {};
}

Result<std::vector<NetworkView>> Networks::list(const Filters& filters) const {
  CHECK(check_filter_keys(filters, kNetworkFilterKeys));
  for (const auto& [key, values] : filters) {
    for (const auto& v : values) {
      if (key == "type" && v != "custom" && v != "builtin")
        return fail(Errc::invalid_argument, "invalid filter 'type={}'", v);
    }
  }
  CHECK(check_name_filter(filters));
  const NameFilter names(filters);
  std::vector<NetworkView> out;
  for (const char* name : kPredefined) {
    auto n = view_of(name);
    if (matches(n, filters, names)) out.push_back(std::move(n));
  }
  return out;
}

Result<NetworkView> Networks::find(const std::string& ref) const {
  if (ids_.contains(ref)) return view_of(ref);
  std::string found;
  for (const auto& [name, id] : ids_) {
    if (ref.empty() || !id.starts_with(ref)) continue;
    if (!found.empty())
      return fail(Errc::invalid_argument,
                  "network {} is ambiguous (2 matches found based on ID "
                  "prefix)",
                  ref);
    found = name;
  }
  if (found.empty()) return fail(Errc::not_found, "network {} not found", ref);
  return view_of(found);
}

}  // namespace coracle
