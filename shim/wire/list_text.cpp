#include "shim/wire/list_text.hpp"

#include <charconv>

#include "engine/base/json.hpp"
#include "engine/base/utf8.hpp"
#include "shim/wire/text.hpp"

namespace coracle::wire {
namespace {

void append_string(std::string& out, std::string_view text) {
  append_json_string(out, text, JsonStyle::brief);
}

void append_number(std::string& out, std::int64_t number) {
  char text[24];
  const auto end = std::to_chars(text, text + sizeof text, number).ptr;
  out.append(text, end);
}

// One object: its keys in the order of the calls.
class Object {
 public:
  explicit Object(std::string& out) : out_(out) { out_ += '{'; }
  void close() { out_ += '}'; }
  std::string& key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    append_string(out_, name);
    out_ += ':';
    return out_;
  }
  void text(std::string_view name, std::string_view value) { append_string(key(name), value); }
  void number(std::string_view name, std::int64_t value) { append_number(key(name), value); }
  void truth(std::string_view name, bool value) { key(name) += value ? "true" : "false"; }

 private:
  std::string& out_;
  bool first_ = true;
};

void append_map(std::string& out, const std::map<std::string, std::string>& map) {
  Object o(out);
  for (const auto& [k, v] : map) o.text(k, v);
  o.close();
}

void append_list(std::string& out, const std::vector<std::string>& list) {
  out += '[';
  for (const auto& text : list) {
    if (out.back() != '[') out += ',';
    append_string(out, text);
  }
  out += ']';
}

int port_number(std::string_view text) {
  int port = 0;
  std::from_chars(text.data(), text.data() + text.size(), port);
  return port;
}

void append_ports(std::string& out, const PortMap& ports) {
  out += '[';
  bool first = true;
  const auto one = [&](std::string_view key, const PortBinding* binding) {
    if (!first) out += ',';
    first = false;
    const auto slash = key.find('/');
    Object o(out);
    if (binding != nullptr) o.text("IP", binding->host_ip.empty() ? "0.0.0.0" : binding->host_ip);
    o.number("PrivatePort", port_number(key));
    if (binding != nullptr) o.number("PublicPort", port_number(binding->host_port));
    o.text("Type", slash == std::string_view::npos ? "tcp" : key.substr(slash + 1));
    o.close();
  };
  for (const auto& [key, bindings] : ports) {
    if (bindings.empty()) one(key, nullptr);
    for (const auto& b : bindings) one(key, &b);
  }
  out += ']';
}

void append_mounts(std::string& out, const std::vector<MountPoint>& mounts) {
  out += '[';
  bool first = true;
  for (const auto& m : mounts) {
    if (!first) out += ',';
    first = false;
    Object o(out);
    o.text("Type", m.type);
    if (!m.name.empty()) o.text("Name", m.name);
    o.text("Source", m.source);
    o.text("Destination", m.destination);
    if (!m.driver.empty()) o.text("Driver", m.driver);
    o.text("Mode", m.mode);
    o.truth("RW", m.rw);
    o.text("Propagation", m.propagation);
    o.close();
  }
  out += ']';
}

void append_or_null(std::string& out, const std::vector<std::string>& list) {
  if (list.empty()) {
    out += "null";
  } else {
    append_list(out, list);
  }
}

void append_ipam(std::string& out, const std::optional<EndpointIpam>& ipam) {
  if (!ipam) {
    out += "null";
    return;
  }
  Object o(out);
  if (!ipam->ipv4_address.empty()) o.text("IPv4Address", ipam->ipv4_address);
  if (!ipam->ipv6_address.empty()) o.text("IPv6Address", ipam->ipv6_address);
  if (!ipam->link_local_ips.empty()) append_list(o.key("LinkLocalIPs"), ipam->link_local_ips);
  o.close();
}

void append_endpoint(std::string& out, const EndpointSettings& e, const ContainerView& view,
                     http::ApiVersion version) {
  Object o(out);
  append_ipam(o.key("IPAMConfig"), e.ipam);
  append_or_null(o.key("Links"), e.links);
  if (has_id_alias(view, version)) {
    auto aliases = e.aliases;
    aliases.push_back(short_id(view.id));
    append_list(o.key("Aliases"), aliases);
  } else {
    append_or_null(o.key("Aliases"), e.aliases);
  }
  auto& options = o.key("DriverOpts");
  if (e.driver_opts.empty()) {
    options += "null";
  } else {
    append_map(options, e.driver_opts);
  }
  if (version >= http::ApiVersion{1, 48}) o.number("GwPriority", e.gw_priority);
  o.text("MacAddress", e.mac_address);
  o.text("NetworkID", e.network_id);
  o.text("EndpointID", e.endpoint_id);
  o.text("Gateway", e.gateway);
  o.text("IPAddress", e.ip_address);
  o.number("IPPrefixLen", e.ip_prefix_len);
  o.text("IPv6Gateway", e.ipv6_gateway);
  o.text("GlobalIPv6Address", e.global_ipv6_address);
  o.number("GlobalIPv6PrefixLen", e.global_ipv6_prefix_len);
  if (version >= http::ApiVersion{1, 44}) append_or_null(o.key("DNSNames"), e.dns_names);
  o.close();
}

void append_command(std::string& out, const ContainerView& view) {
  std::string command = view.path;
  for (const auto& arg : view.args) {
    if (!command.empty()) command += ' ';
    command += arg.find(' ') == std::string::npos ? arg : "'" + arg + "'";
  }
  append_string(out, command);
}

}  // namespace

bool has_id_alias(const ContainerView& view, http::ApiVersion version) {
  const auto& mode = view.host.network_mode;
  return version < http::ApiVersion{1, 45} && mode != "bridge" && mode != "default" &&
         mode != "host" && mode != "none" && !view.id.empty();
}

void append_summary(std::string& out, const ContainerView& view, const std::string& image,
                    http::ApiVersion version, Time at, const std::optional<ContainerSize>& size) {
  Object o(out);
  o.text("Id", view.id);
  o.key("Names") += '[';
  append_string(out, "/" + view.name);
  for (const auto& name : view.link_names) append_string(out += ',', "/" + name);
  out += ']';
  o.text("Image", image);
  o.text("ImageID", view.image_id);
  append_command(o.key("Command"), view);
  o.number("Created", view.created.ns / 1'000'000'000);
  append_ports(o.key("Ports"), view.ports);
  if (size) {
    o.number("SizeRw", size->rw);
    o.number("SizeRootFs", size->root_fs);
  }
  append_map(o.key("Labels"), view.config.labels);
  o.text("State", view.damaged ? "dead" : name_of(view.status));
  o.text("Status", status_text(view, at));
  Object host(o.key("HostConfig"));
  host.text("NetworkMode", view.host.network_mode);
  if (version >= http::ApiVersion{1, 46} && !view.host.annotations.empty())
    append_map(host.key("Annotations"), view.host.annotations);
  host.close();
  if (version >= http::ApiVersion{1, 52} && view.health) {
    Object health(o.key("Health"));
    health.text("Status", view.health->status);
    health.number("FailingStreak", view.health->failing_streak);
    health.close();
  }
  Object network(o.key("NetworkSettings"));
  Object networks(network.key("Networks"));
  for (const auto& [name, endpoint] : view.endpoints)
    append_endpoint(networks.key(name), endpoint, view, version);
  networks.close();
  network.close();
  append_mounts(o.key("Mounts"), view.mounts);
  o.close();
}

json::Value container_summary(const ContainerView& view, const std::string& image,
                              http::ApiVersion version, Time at,
                              const std::optional<ContainerSize>& size) {
  std::string text;
  append_summary(text, view, image, version, at, size);
  return json::parse(text).value_or(json::Value(nullptr));
}

std::string changes_text(const std::vector<storage::Change>& changes) {
  if (changes.empty()) return "null";
  std::string out;
  for (const auto& change : changes) {
    out += out.empty() ? '[' : ',';
    Object o(out);
    o.text("Path", change.path);
    o.number("Kind", change.kind);
    o.close();
  }
  return out + "]";
}

}  // namespace coracle::wire
