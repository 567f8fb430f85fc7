#include "netstack/endpoints.hpp"

#include <sched.h>

#include <algorithm>

#include "engine/base/ident.hpp"
#include "engine/base/json.hpp"
#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr const char* kEndpointPrefix = "endpoint/";
constexpr const char* kPortsPrefix = "ports/";
constexpr std::size_t kSocketsAnItem = 24;  // a message carries 32 descriptors

struct SavedPorts {
  std::vector<PublishedPort> ports;  // one a descriptor
};
void describe(auto& field, SavedPorts& s) { field("ports", s.ports); }

bool is_wildcard(const std::string& ip) { return ip == "0.0.0.0" || ip == "::"; }
bool is_v6(const std::string& ip) { return ip.find(':') != std::string::npos; }
bool clash(const PublishedPort& p, const std::string& proto, const std::string& ip,
           std::uint16_t port) {
  return p.proto == proto && p.host_port == port && is_v6(p.host_ip) == is_v6(ip) &&
         (p.host_ip == ip || is_wildcard(p.host_ip) || is_wildcard(ip));
}

Result<> configure_eth0(ReadyNamespace& space, const Endpoint& e) {
  if (space.eth0 == 0) return {};
  TRY(const auto mac, parse_mac(e.mac));
  TRY(const auto address, parse_ipv4(e.address));
  TRY(const auto gateway, parse_ipv4(e.gateway));
  std::vector<NetlinkRequest> requests;
  requests.push_back(set_mac(space.eth0, mac));
  requests.push_back(add_address(space.eth0, address, e.prefix_len));
  requests.push_back(add_default_route(gateway));
  return space.netlink->run(std::move(requests));
}

// On the worker's thread, which is in the bridge's namespace and comes back to it. eth0 is there as
// long as the bridge's namespace was; else it gets a new one.
Result<> plug_in(ReadyNamespace& space, const NamespacePool::Bridge& bridge, const Endpoint& e) {
  TRY(auto inside, netlink_in(space.netns));
  const auto there = inside.link_of("eth0");
  if (there) {
    space.port = there->peer;
    return {};
  }
  if (there.error().code != Errc::not_found) return std::unexpected(there.error());
  TRY(auto here, Netlink::open());
  if (auto veth = here.run(add_veth(bridge.bridge_index, bridge.mtu, "eth0", space.netns)); !veth)
    return std::unexpected(veth.error().within("make a veth pair"));
  space.netlink = std::make_unique<Netlink>(std::move(inside));
  TRY(const auto link, space.netlink->link_of("eth0"));
  space.eth0 = link.index;
  space.port = link.peer;
  [[maybe_unused]] const auto without = space.netlink->run(without_link_local(space.eth0));
  CHECK(space.netlink->run(set_up(space.eth0)));
  return configure_eth0(space, e);
}

// What it may say. errors: its MAC or address is none
Result<Speaker> speaker_of(const Endpoint& e, int port) {
  Speaker speaker;
  speaker.port = port;
  TRY(speaker.mac, parse_mac(e.mac));
  TRY(speaker.address, parse_ipv4(e.address));
  return speaker;
}

// The very ports that it had, one for each address family.
std::vector<PortRequest> same_ports(const Endpoint& had) {
  std::vector<PortRequest> out;
  for (const auto& p : had.ports)
    out.push_back({p.proto, p.container_port, p.host_ip, p.host_port, 0});
  return out;
}

}  // namespace

struct Endpoints::Record {
  Endpoint endpoint;
  UniqueFd netns;
  int port = 0;  // of the bridge, where it is plugged in; written on the worker
  std::vector<std::unique_ptr<Forward>> forwards;
  std::size_t port_items = 0;  // in the vault
};

struct Endpoints::Joining {
  std::shared_ptr<Record> record = std::make_shared<Record>();
  std::vector<BoundPort> bound;
  std::vector<OnAttached> waiting;
  ReadyNamespace space;  // the worker's while it configures
  std::string name;
  bool cancelled = false;
};

Endpoints::Endpoints(ForwardContext& forward, NamespacePool& namespaces, Worker& worker,
                     std::optional<SourceGuard> guard, VaultClient& vault)
    : forward_(forward),
      namespaces_(namespaces),
      worker_(worker),
      vault_(vault),
      addresses_(forward.subnet, forward.gateway),
      guard_(std::move(guard)) {}
Endpoints::~Endpoints() = default;

bool Endpoints::taken(const std::string& proto, const std::string& ip, std::uint16_t port) const {
  for (const auto& [id, record] : records_)
    for (const auto& p : record->endpoint.ports)
      if (clash(p, proto, ip, port)) return true;
  for (const auto& [id, j] : joining_)
    for (const auto& p : j->record->endpoint.ports)
      if (clash(p, proto, ip, port)) return true;
  return false;
}

namespace {

// What the request says, before anything is taken.
Result<> check(const AttachRequest& r) {
  if (r.container_id.empty())
    return fail(Errc::invalid_argument, "attach: the container has no id");
  if (r.network == "none") {
    if (!r.ports.empty())
      return fail(Errc::invalid_argument, "publish ports: the network none has no ports");
    return {};
  }
  if (r.network != "bridge")
    return fail(Errc::not_found, "network {} not found: only bridge and none can be attached",
                r.network);
  if (!r.mac.empty()) CHECK(parse_mac(r.mac));
  return {};
}

}  // namespace

void Endpoints::attach(AttachRequest request, OnAttached done) {
  if (const auto found = records_.find(request.container_id); found != records_.end())
    return done(Attached{&found->second->endpoint, found->second->netns.get()});
  if (const auto found = joining_.find(request.container_id); found != joining_.end()) {
    if (!found->second->cancelled) {
      found->second->waiting.push_back(std::move(done));
      return;
    }
    return done(fail(Errc::conflict, "attach {}: it is being detached", request.container_id));
  }
  if (auto fine = check(request); !fine) return done(std::unexpected(fine.error()));

  auto joining = std::make_shared<Joining>();
  joining->name = request.name;
  Endpoint& e = joining->record->endpoint;
  e.container_id = request.container_id;
  e.endpoint_id = random_id();
  e.network = request.network;
  const bool bridge = request.network == "bridge";
  if (bridge) {
    Ipv4 address;
    if (request.address.empty()) {
      auto given = addresses_.take();
      if (!given) return done(std::unexpected(given.error()));
      address = *given;
    } else {
      auto wanted = parse_ipv4(request.address);
      if (!wanted) return done(std::unexpected(wanted.error()));
      if (auto got = addresses_.take(*wanted); !got) return done(std::unexpected(got.error()));
      address = *wanted;
    }
    e.interface_name = "eth0";
    e.address = to_string(address);
    e.prefix_len = forward_.subnet.prefix_len;
    e.gateway = to_string(forward_.gateway);
    e.mac = request.mac.empty() ? to_string(mac_for(address)) : request.mac;
    auto bound = bind_ports(request.ports, e.address,
                            [this](const auto& proto, const auto& ip, std::uint16_t port) {
                              return taken(proto, ip, port);
                            });
    if (!bound) {
      release_address(e);
      return done(std::unexpected(bound.error()));
    }
    joining->bound = *std::move(bound);
    for (const auto& b : joining->bound) e.ports.push_back(b.port);
  }
  joining->waiting.push_back(std::move(done));
  joining_.emplace(e.container_id, joining);
  namespaces_.take(
      bridge ? Kind::with_veth : Kind::lo_only,
      [this, joining](Result<ReadyNamespace> made) { configure(joining, std::move(made)); });
}

void Endpoints::take_back(const Endpoint& had, UniqueFd netns, OnAttached done) {
  if (const auto found = records_.find(had.container_id); found != records_.end())
    return done(Attached{&found->second->endpoint, found->second->netns.get()});
  if (joining_.contains(had.container_id))
    return done(fail(Errc::conflict, "restore {}: it is being attached", had.container_id));
  auto joining = std::make_shared<Joining>();
  joining->record->endpoint = had;
  joining->space.netns = std::move(netns);
  const bool bridge = had.network == "bridge";
  if (bridge) {
    const auto address = parse_ipv4(had.address);
    if (!address) return done(std::unexpected(address.error()));
    if (auto got = addresses_.take(*address); !got) return done(std::unexpected(got.error()));
    auto bound = bind_ports(same_ports(had), had.address,
                            [this](const auto& proto, const auto& ip, std::uint16_t port) {
                              return taken(proto, ip, port);
                            });
    if (!bound) {
      addresses_.release(*address);
      return done(std::unexpected(bound.error()));
    }
    joining->bound = *std::move(bound);
  }
  joining->waiting.push_back(std::move(done));
  joining_.emplace(had.container_id, joining);
  if (!bridge) return finish(std::move(joining), {});
  worker_.post([this, joining] {
    auto result = plug_in_on_worker(*joining);
    forward_.loop.post([this, joining, result] { finish(joining, result); });
  });
}

Result<> Endpoints::configure_on_worker(Joining& joining) {
  CHECK(configure_eth0(joining.space, joining.record->endpoint));
  return let_speak(*joining.record, joining.space.port);
}

Result<> Endpoints::plug_in_on_worker(Joining& joining) {
  CHECK(plug_in(joining.space, namespaces_.bridge(), joining.record->endpoint));
  return let_speak(*joining.record, joining.space.port);
}

Result<> Endpoints::let_speak(Record& record, int port) {
  record.port = port;
  if (!guard_) return {};
  TRY(const auto speaker, speaker_of(record.endpoint, port));
  return guard_->allow(speaker);
}

// Its successor does not know where a predecessor's container is plugged in.
void Endpoints::let_speak_again(const std::shared_ptr<Record>& record) {
  if (!guard_) return;
  worker_.post([this, record] {
    auto inside = netlink_in(record->netns);
    auto link = inside ? inside->link_of("eth0") : std::unexpected(inside.error());
    const auto done =
        link ? let_speak(*record, link->peer) : Result<>(std::unexpected(link.error()));
    if (!done) log::warn("endpoint {}: {}", record->endpoint.address, done.error().message);
  });
}

void Endpoints::silence(const std::shared_ptr<Record>& record) {
  if (!guard_ || record->endpoint.address.empty()) return;
  worker_.post([this, record] {
    if (record->port == 0) return;
    auto speaker = speaker_of(record->endpoint, record->port);
    const auto done = speaker ? guard_->forbid(*speaker) : std::unexpected(speaker.error());
    if (!done) log::warn("{}", done.error().message);
  });
}

void Endpoints::configure(std::shared_ptr<Joining> joining, Result<ReadyNamespace> made) {
  if (!made) return finish(std::move(joining), std::unexpected(made.error()));
  joining->space = *std::move(made);
  if (joining->space.eth0 == 0) return finish(std::move(joining), {});
  worker_.post([this, joining] {
    auto result = configure_on_worker(*joining);
    forward_.loop.post([this, joining, result] { finish(joining, result); });
  });
}

void Endpoints::finish(std::shared_ptr<Joining> joining, Result<> configured) {
  const auto shared = joining->record;
  auto& record = *shared;
  joining_.erase(record.endpoint.container_id);
  if (joining->cancelled) {
    configured = fail(Errc::conflict, "it was detached meanwhile");
  } else if (configured) {
    record.netns = std::move(joining->space.netns);
    configured = serve_all(record, std::move(joining->bound));
  }
  if (configured) configured = remember(record);
  if (!configured) {
    return fail_all(joining,
                    configured.error().within(
                        "attach {} to the network {}",
                        joining->name.empty() ? record.endpoint.container_id : joining->name,
                        record.endpoint.network));
  }
  const auto& kept = *records_.emplace(record.endpoint.container_id, shared).first->second;
  log::info("endpoint attached container={} address={} ports={}",
            short_id(kept.endpoint.container_id), kept.endpoint.address,
            kept.endpoint.ports.size());
  for (auto& done : joining->waiting) done(Attached{&kept.endpoint, kept.netns.get()});
}

void Endpoints::fail_all(const std::shared_ptr<Joining>& joining, const Error& error) {
  forget(*joining->record);
  silence(joining->record);
  release_address(joining->record->endpoint);
  for (auto& done : joining->waiting) done(std::unexpected(error));
}

Result<> Endpoints::serve_all(Record& record, std::vector<BoundPort> bound) {
  if (record.endpoint.address.empty()) return {};
  TRY(const auto address, parse_ipv4(record.endpoint.address));
  auto tenant = forward_.shares.find(address);
  if (!tenant) tenant = forward_.shares.open(address);
  for (auto& b : bound) {
    TRY(auto forward, serve(forward_, std::move(b), tenant));
    record.forwards.push_back(std::move(forward));
  }
  return {};
}

void Endpoints::release_address(const Endpoint& endpoint) {
  const auto address = parse_ipv4(endpoint.address);
  if (!address) return;
  forward_.shares.close(*address);
  addresses_.release(*address);
}

Result<> Endpoints::remember(const Record& record) {
  const auto& id = record.endpoint.container_id;
  CHECK(vault_.put(kEndpointPrefix + id, json::to_text(record.endpoint), {record.netns.get()}));
  for (std::size_t at = 0; at < record.forwards.size(); at += kSocketsAnItem) {
    SavedPorts saved;
    std::vector<int> sockets;
    const auto end = std::min(record.forwards.size(), at + kSocketsAnItem);
    for (std::size_t i = at; i < end; ++i) {
      saved.ports.push_back(record.forwards[i]->port());
      sockets.push_back(record.forwards[i]->socket());
    }
    CHECK(vault_.put(fmt::format("{}{}/{}", kPortsPrefix, id, at), json::to_text(saved), sockets));
  }
  return {};
}

Result<> Endpoints::remember_all() {
  for (const auto& [id, record] : records_) CHECK(remember(*record));
  return {};
}

void Endpoints::forget(const Record& record) {
  const auto& id = record.endpoint.container_id;
  auto dropped = vault_.drop(kEndpointPrefix + id);
  for (std::size_t at = 0; at < record.forwards.size() && dropped; at += kSocketsAnItem)
    dropped = vault_.drop(fmt::format("{}{}/{}", kPortsPrefix, id, at));
  if (!dropped) log::warn("endpoint stays with the keeper: {}", dropped.error().message);
}

void Endpoints::detach(const std::string& container_id) {
  if (const auto j = joining_.find(container_id); j != joining_.end()) {
    j->second->cancelled = true;
    return;
  }
  const auto found = records_.find(container_id);
  if (found == records_.end()) return;
  for (const auto& forward : found->second->forwards) release_port(forward->socket());
  const auto record = found->second;
  forget(*record);
  records_.erase(found);
  record->forwards.clear();
  silence(record);
  release_address(record->endpoint);
  log::info("endpoint detached container={}", short_id(container_id));
}

void Endpoints::keep(const std::vector<std::string>& container_ids) {
  const std::set<std::string> wanted(container_ids.begin(), container_ids.end());
  std::vector<std::string> others;
  for (const auto& [id, record] : records_)
    if (!wanted.contains(id)) others.push_back(id);
  for (const auto& id : others) detach(id);
}

std::vector<Endpoint> Endpoints::list() const {
  std::vector<Endpoint> all;
  for (const auto& [id, record] : records_) all.push_back(record->endpoint);
  return all;
}

void Endpoints::restore(std::vector<VaultItem> items) {
  for (auto& item : items) {
    if (!item.name.starts_with(kEndpointPrefix)) continue;
    auto endpoint = json::from_text<Endpoint>(item.data);
    if (!endpoint || item.fds.size() != 1) {
      log::warn("endpoint {} cannot be taken over: its description is damaged", item.name);
      if (auto dropped = vault_.drop(item.name); !dropped) return;
      continue;
    }
    auto record = std::make_shared<Record>();
    record->endpoint = *std::move(endpoint);
    record->netns = std::move(item.fds.front());
    if (const auto address = parse_ipv4(record->endpoint.address)) {
      if (auto got = addresses_.take(*address); !got)
        log::warn("endpoint {}: {}", item.name, got.error().message);
    }
    if (!record->endpoint.address.empty()) {
      if (auto served = serve_all(*record, {}); !served)
        log::warn("endpoint {}: {}", item.name, served.error().message);
      let_speak_again(record);
    }
    const auto id = record->endpoint.container_id;
    records_.insert_or_assign(id, std::move(record));
  }
  for (auto& item : items) {
    const std::string prefix = kPortsPrefix;
    if (!item.name.starts_with(prefix)) continue;
    const auto slash = item.name.rfind('/');
    restore_ports(item, item.name.substr(prefix.size(), slash - prefix.size()));
  }
}

void Endpoints::restore_ports(VaultItem& item, const std::string& container_id) {
  const auto found = records_.find(container_id);
  auto saved = json::from_text<SavedPorts>(item.data);
  if (found == records_.end() || !saved || saved->ports.size() != item.fds.size()) {
    log::warn("published ports {} cannot be taken over", item.name);
    if (auto dropped = vault_.drop(item.name); !dropped) log::warn("{}", dropped.error().message);
    return;
  }
  std::vector<BoundPort> bound;
  for (std::size_t i = 0; i < saved->ports.size(); ++i)
    bound.push_back({std::move(saved->ports[i]), std::move(item.fds[i])});
  if (auto served = serve_all(*found->second, std::move(bound)); !served)
    log::error("published ports {} cannot be served: {}", item.name, served.error().message);
}

}  // namespace coracle::netstack
