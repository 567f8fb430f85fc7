// Messages between the engine and coracle-netstack, over base/ipc/channel on <exec-root>/netstack.sock.
// Every request has a `seq` and gets one reply; replies may come in another order. Requests are
// idempotent: an engine that was cut off asks again.
//
//   hello                       -> version
//   attach {AttachRequest}      -> Endpoint, and one descriptor: the container's network namespace,
//                                  with lo and eth0 up, address, route and published ports in
//                                  place. The same container id again: the endpoint that it has
//                                  (and its namespace).
//   detach {container_id}       -> listeners closed, address free again; unknown id: no error
//   list                        -> every Endpoint
//   keep {container_ids}        -> detaches every endpoint that is not named (after a restart of
//                                  the engine)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/ipc/message.hpp"

namespace coracle::netstack {

constexpr int kProtocolVersion = 1;
constexpr const char* kSocketName = "netstack.sock";

struct PortRequest {
  std::string proto = "tcp";  // tcp, udp
  std::uint16_t container_port = 0;
  std::string host_ip;              // "": every address, 0.0.0.0 and [::]
  std::uint16_t host_port = 0;      // 0: a free one
  std::uint16_t host_port_end = 0;  // 0 or, for a range, its end: the first free one is taken
};
void describe(auto& field, PortRequest& p) {
  field("proto", p.proto)("container_port", p.container_port)("host_ip", p.host_ip)(
      "host_port", p.host_port)("host_port_end", p.host_port_end);
}

struct PublishedPort {
  std::string proto;
  std::uint16_t container_port = 0;
  std::string host_ip;  // one entry an address family: 0.0.0.0 and ::
  std::uint16_t host_port = 0;
};
void describe(auto& field, PublishedPort& p) {
  field("proto", p.proto)("container_port", p.container_port)("host_ip", p.host_ip)("host_port",
                                                                                    p.host_port);
}

struct AttachRequest {
  std::string container_id;
  std::string name;                // for DNS, and for messages
  std::string network = "bridge";  // bridge (with a veth), none (a namespace with lo only)
  std::string address;             // "": from the pool
  std::string mac;                 // "": made from the address, as Docker does (02:42:…)
  std::vector<PortRequest> ports;
};
void describe(auto& field, AttachRequest& a) {
  field("container_id", a.container_id)("name", a.name)("network", a.network)("address", a.address)(
      "mac", a.mac)("ports", a.ports);
}

struct Endpoint {
  std::string container_id;
  std::string endpoint_id;  // 64 hex
  std::string network;
  std::string interface_name;  // eth0 inside
  std::string address;         // 172.17.0.2; "" for none
  std::uint8_t prefix_len = 0;
  std::string gateway;
  std::string mac;
  std::vector<PublishedPort> ports;
};
void describe(auto& field, Endpoint& e) {
  field("container_id", e.container_id)("endpoint_id", e.endpoint_id)("network", e.network)(
      "interface_name", e.interface_name)("address", e.address)("prefix_len", e.prefix_len)(
      "gateway", e.gateway)("mac", e.mac)("ports", e.ports);
}

// What the default bridge looks like: for `docker network inspect` and resolv.conf.
struct BridgeInfo {
  std::string subnet = "172.17.0.0/16";
  std::string gateway = "172.17.0.1";  // also the DNS server of its containers
  std::uint32_t mtu = 65520;
};
void describe(auto& field, BridgeInfo& b) {
  field("subnet", b.subnet)("gateway", b.gateway)("mtu", b.mtu);
}

namespace op {
struct Hello {
  static constexpr const char* kOp = "hello";
};
void describe(auto& /*field*/, Hello& /*op*/) {}
struct Attach {
  static constexpr const char* kOp = "attach";
  AttachRequest attach;
};
void describe(auto& field, Attach& a) { field("attach", a.attach); }
struct Detach {
  static constexpr const char* kOp = "detach";
  std::string container_id;
};
void describe(auto& field, Detach& d) { field("container_id", d.container_id); }
struct List {
  static constexpr const char* kOp = "list";
};
void describe(auto& /*field*/, List& /*op*/) {}
struct Keep {
  static constexpr const char* kOp = "keep";
  std::vector<std::string> container_ids;
};
void describe(auto& field, Keep& k) { field("container_ids", k.container_ids); }
// Both with a descriptor: netstack/takeover.hpp.
struct Adopt {
  static constexpr const char* kOp = "adopt";
};
void describe(auto& /*field*/, Adopt& /*op*/) {}
struct Restore {
  static constexpr const char* kOp = "restore";
  Endpoint endpoint;
};
void describe(auto& field, Restore& r) { field("endpoint", r.endpoint); }
}  // namespace op

using Request = message::Request<kProtocolVersion, op::Hello, op::Attach, op::Detach, op::List,
                                 op::Keep, op::Adopt, op::Restore>;

struct Reply {
  std::uint64_t re = 0;
  std::optional<message::WireError> error;
  std::int32_t version = kProtocolVersion;
  std::optional<Endpoint> endpoint;
  std::vector<Endpoint> endpoints;
  std::optional<BridgeInfo> bridge;  // hello
};
void describe(auto& field, Reply& r) {
  field("re", r.re)("error", r.error)("version", r.version)("endpoint", r.endpoint)(
      "endpoints", r.endpoints)("bridge", r.bridge);
}

// The vault: the keeper holds descriptors for netstack's successor, so that published ports and
// endpoints outlive netstack. One end of a SOCK_SEQPACKET socket pair is given as --vault-fd, a new
// pair for each process; base/ipc/channel frames it. The keeper understands neither names nor data.
//
//   netstack                             keeper
//   {op:put, name, data} + fds       ->  keeps them, in place of what had that name before; no reply
//   {op:drop, name}                  ->  closes and forgets them; unknown name: nothing; no reply
//   {op:list}                        ->
//                                    <-  {name, data} + fds (duplicates), a message for each entry,
//                                    in the order of their first put
//                                    <-  {end: true}
//
// A put counts from the moment it was sent: when netstack has ended, the keeper reads what is left
// on its end before it starts the next one. The entries end with the keeper.
namespace vault {
struct Put {
  static constexpr const char* kOp = "put";
  std::string name;
  std::string data;
};
void describe(auto& field, Put& p) { field("name", p.name)("data", p.data); }
struct Drop {
  static constexpr const char* kOp = "drop";
  std::string name;
};
void describe(auto& field, Drop& d) { field("name", d.name); }
struct List {
  static constexpr const char* kOp = "list";
};
void describe(auto& /*field*/, List& /*list*/) {}
}  // namespace vault
using VaultRequest = message::Request<1, vault::Put, vault::Drop, vault::List>;
struct VaultEntry {
  std::string name;
  std::string data;
  bool end = false;
};
void describe(auto& field, VaultEntry& e) { field("name", e.name)("data", e.data)("end", e.end); }

}  // namespace coracle::netstack
