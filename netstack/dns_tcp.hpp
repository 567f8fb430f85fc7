// DNS over TCP (RFC 7766): for answers that do not fit a datagram. One query at a time a
// connection; each is asked of the host's resolvers over TCP.
#pragma once

#include <list>
#include <memory>

#include "netstack/dns.hpp"

namespace coracle::netstack {

class DnsTcp {
 public:
  static Result<std::unique_ptr<DnsTcp>> make(Loop& loop, DnsSettings settings,
                                              Resolvers& resolvers, UniqueFd listener);

 private:
  struct Connection {
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
  using Place = std::list<Connection>::iterator;
  DnsTcp(Loop& loop, DnsSettings settings, Resolvers& resolvers, UniqueFd listener)
      : loop_(loop),
        settings_(std::move(settings)),
        resolvers_(resolvers),
        listener_(std::move(listener)) {}
  void accept();
  // Each may end the connection; false: it has.
  bool on_client(Place c, std::uint32_t events);
  bool next_query(Place c);
  bool ask_next(Place c);
  void on_upstream(Place c, std::uint32_t events);
  bool answer(Place c, std::span<const std::uint8_t> message);
  bool flush(Place c);
  void restart_limit(Place c);
  void end(Place c) { connections_.erase(c); }

  Loop& loop_;
  DnsSettings settings_;
  Resolvers& resolvers_;
  UniqueFd listener_;
  Loop::Watch watch_;
  std::list<Connection> connections_;
};

}  // namespace coracle::netstack
