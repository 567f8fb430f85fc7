// DNS over TCP (RFC 7766): for answers that do not fit a datagram. One query at a time a
// connection; each is asked of the host's resolvers over TCP. Nothing is read from a client that
// does not take its answers.
//
// Above a container's share (netstack/base/shares.hpp) the connection on which it was silent
// longest is closed, as a server may at any time (RFC 7766, 6.2.3).
#pragma once

#include <list>
#include <map>
#include <memory>

#include "netstack/dns/dns.hpp"

namespace coracle::netstack {

class DnsTcp {
 public:
  static Result<std::unique_ptr<DnsTcp>> make(Loop& loop, Shares& shares, DnsSettings settings,
                                              Resolvers& resolvers, UniqueFd listener);

 private:
  struct Connection {
    Charge charge;  // of both sockets
    UniqueFd client;
    UniqueFd upstream;
    Loop::Watch client_watch;
    Loop::Watch upstream_watch;
    Loop::Timer limit;
    DnsBytes in;     // from the client, not yet dealt with
    DnsBytes query;  // with its length in front; empty: none is under way
    DnsBytes out;    // to the client, not yet written
    DnsBytes to_upstream;
    DnsBytes from_upstream;
    std::vector<SocketAddress> servers;
    std::size_t next = 0;
  };
  using Connections = std::list<Connection>;
  using Place = Connections::iterator;
  DnsTcp(Loop& loop, Shares& shares, DnsSettings settings, Resolvers& resolvers, UniqueFd listener)
      : loop_(loop),
        shares_(shares),
        settings_(std::move(settings)),
        resolvers_(resolvers),
        listener_(std::move(listener)) {}
  void accept();
  void pause();
  void take(UniqueFd client, const TenantPtr& tenant);
  bool make_room(const TenantPtr& tenant);
  void used(Place c);
  void await(Place c);
  // Each may end the connection; false: it has.
  bool on_client(Place c, std::uint32_t events);
  bool next_query(Place c);
  bool ask_next(Place c);
  void on_upstream(Place c, std::uint32_t events);
  bool answer(Place c, std::span<const std::uint8_t> message);
  bool flush(Place c);
  void restart_limit(Place c);
  void end(Place c);

  Loop& loop_;
  Shares& shares_;
  DnsSettings settings_;
  Resolvers& resolvers_;
  UniqueFd listener_;
  Loop::Watch watch_;
  Loop::Timer resume_;
  std::map<const Tenant*, Connections> connections_;  // the one that was silent longest first
};

}  // namespace coracle::netstack
