#include "engine/request/ports.hpp"

#include <arpa/inet.h>

#include <charconv>

namespace coracle {
namespace {

Result<std::uint16_t> parse_number(std::string_view text, const std::string& whole) {
  unsigned value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value > 65535)
    return fail(Errc::invalid_argument, "invalid port specification: \"{}\"", whole);
  return static_cast<std::uint16_t>(value);
}

struct Range {
  std::uint16_t first = 0, last = 0;
};
Result<Range> parse_range(std::string_view text, const std::string& whole) {
  const auto dash = text.find('-');
  TRY(const auto first, parse_number(text.substr(0, dash), whole));
  if (dash == std::string_view::npos) return Range{first, first};
  TRY(const auto last, parse_number(text.substr(dash + 1), whole));
  if (last < first)
    return fail(Errc::invalid_argument,
                "invalid port specification: \"{}\": the range ends below "
                "its start",
                whole);
  return Range{first, last};
}

bool is_address(const std::string& text) {
  in6_addr buffer{};
  return ::inet_pton(AF_INET, text.c_str(), &buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &buffer) == 1;
}

Result<netstack::PortRequest> one_request(const PortKey& key, std::uint16_t container_port,
                                          const PortBinding& binding) {
  netstack::PortRequest r;
  r.proto = key.proto;
  r.container_port = container_port;
  r.host_ip = binding.host_ip;
  if (!r.host_ip.empty() && !is_address(r.host_ip))
    return fail(Errc::invalid_argument, "invalid IP address: {}", r.host_ip);
  if (binding.host_port.empty()) return r;
  TRY(const auto range, parse_range(binding.host_port, binding.host_port));
  r.host_port = range.first;
  if (range.last != range.first) r.host_port_end = range.last;
  return r;
}

}  // namespace

Result<PortKey> parse_port_key(const std::string& text) {
  PortKey key;
  const auto slash = text.find('/');
  key.proto = slash == std::string::npos ? "tcp" : text.substr(slash + 1);
  if (key.proto != "tcp" && key.proto != "udp" && key.proto != "sctp")
    return fail(Errc::invalid_argument, "invalid proto: {}", key.proto);
  TRY(const auto range, parse_range(std::string_view(text).substr(0, slash), text));
  if (range.first == 0)
    return fail(Errc::invalid_argument, "invalid port specification: \"{}\"", text);
  key.first = range.first;
  key.last = range.last;
  return key;
}

Result<std::vector<netstack::PortRequest>> port_requests(const HostConfig& host,
                                                         const ContainerConfig& config) {
  std::vector<netstack::PortRequest> all;
  for (const auto& [text, bindings] : host.port_bindings) {
    TRY(const auto key, parse_port_key(text));
    if (key.proto == "sctp")
      return fail(Errc::unsupported, "publish {}: coracle publishes tcp and udp only", text);
    const std::vector<PortBinding> any_port{PortBinding{}};
    for (const auto& binding : bindings.empty() ? any_port : bindings) {
      for (unsigned port = key.first; port <= key.last; ++port) {
        TRY(auto request, one_request(key, static_cast<std::uint16_t>(port), binding));
        all.push_back(std::move(request));
      }
    }
  }
  if (!host.publish_all_ports) return all;
  for (const auto& [text, nothing] : config.exposed_ports) {
    if (host.port_bindings.contains(text)) continue;
    TRY(const auto key, parse_port_key(text));
    if (key.proto == "sctp") continue;
    for (unsigned port = key.first; port <= key.last; ++port) {
      TRY(auto request, one_request(key, static_cast<std::uint16_t>(port), PortBinding{}));
      all.push_back(std::move(request));
    }
  }
  return all;
}

PortMap shown_ports(const std::vector<netstack::PublishedPort>& published,
                    const ContainerConfig& config, const HostConfig& host) {
  PortMap shown;
  for (const auto& [text, nothing] : config.exposed_ports) {
    if (const auto key = parse_port_key(text)) {
      for (unsigned port = key->first; port <= key->last; ++port)
        shown[std::to_string(port) + "/" + key->proto];
    }
  }
  for (const auto& [text, bindings] : host.port_bindings) {
    if (const auto key = parse_port_key(text); key && key->first == key->last)
      shown[std::to_string(key->first) + "/" + key->proto];
  }
  for (const auto& p : published) {
    PortBinding binding{p.host_ip, std::to_string(p.host_port)};
    shown[std::to_string(p.container_port) + "/" + p.proto].push_back(std::move(binding));
  }
  return shown;
}

}  // namespace coracle
