// The DNS server of the containers, at the gateway's address in the bridge namespace. It asks the
// host's resolvers as they are at that moment, from the host's network namespace, so that one on
// the host's loopback (systemd-resolved) works too. UDP here; TCP connections in dns_tcp.hpp.
//
// A query goes to the first resolver; silence sends it to the next; when all are silent, or there
// is none, the answer is SERVFAIL. Each query has a socket, and with it a random port, of its own.
//
// Above a container's share (netstack/base/shares.hpp) its oldest query is answered SERVFAIL: it
// has waited longest for nothing, and its asker may go on to what it does next.
#pragma once

#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/shares.hpp"
#include "netstack/dns/dns_packet.hpp"

namespace coracle::netstack {

// A stub resolver waits five seconds for us: two resolvers have their turn before that.
constexpr std::chrono::milliseconds kServerLimit{2200};

struct DnsSettings {
  Ipv4 gateway;  // the answer for host.docker.internal
  std::string resolv_conf = "/etc/resolv.conf";
  std::uint16_t resolver_port = 53;  // another one only in tests
};

// The host's resolvers; the file is read again when it changed.
class Resolvers {
 public:
  explicit Resolvers(DnsSettings settings) : settings_(std::move(settings)) {}
  const std::vector<SocketAddress>& now();

 private:
  DnsSettings settings_;
  struct stat seen_ {};
  std::vector<SocketAddress> servers_;
};

// Our own answer to a query, when we have one.
std::optional<DnsBytes> local_answer(const DnsSettings& settings,
                                     std::span<const std::uint8_t> query,
                                     const DnsQuestion& question);

class DnsTcp;

class DnsServer {
 public:
  //   udp, tcp  bound in the bridge namespace; of the first at least one, all to the same address
  static Result<std::unique_ptr<DnsServer>> make(Loop& loop, Shares& shares, DnsSettings settings,
                                                 std::vector<UniqueFd> udp, UniqueFd tcp);
  ~DnsServer();

 private:
  struct Query {
    Charge charge;
    SocketAddress client;
    DnsBytes message;      // as it came
    std::uint16_t id = 0;  // as it goes out
    std::vector<SocketAddress> servers;
    std::size_t next = 0;  // which of them
    UniqueFd upstream;
    Loop::Watch watch;
    Loop::Timer limit;
  };
  using Queries = std::list<Query>;
  DnsServer(Loop& loop, Shares& shares, DnsSettings settings, std::vector<UniqueFd> udp);
  void on_queries(const UniqueFd& udp);
  void take(const SocketAddress& client, std::span<const std::uint8_t> message);
  bool make_room(const TenantPtr& tenant);
  void ask_next(Queries::iterator query);
  void give_up(Queries::iterator query);
  void forget(Queries::iterator query);
  Result<> ask(Query& query, const SocketAddress& server);
  void on_answer(Queries::iterator query);
  void reply(const SocketAddress& client, std::span<const std::uint8_t> message);

  Loop& loop_;
  Shares& shares_;
  DnsSettings settings_;
  Resolvers resolvers_;
  std::vector<UniqueFd> udp_;
  std::vector<Loop::Watch> watches_;
  std::map<const Tenant*, Queries> queries_;  // the oldest first
  std::vector<std::uint8_t> buffer_;
  std::unique_ptr<DnsTcp> tcp_;
};

}  // namespace coracle::netstack
