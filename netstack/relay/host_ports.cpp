#include "netstack/relay/host_ports.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

namespace coracle::netstack {
namespace {

constexpr int kBacklog = 4096;       // the kernel cuts it to net.core.somaxconn
constexpr int kRandomAttempts = 64;  // for a number that is free in both families

std::string shown(const std::string& ip, std::uint16_t port) {
  return ip.find(':') == std::string::npos ? fmt::format("{}:{}", ip, port)
                                           : fmt::format("[{}]:{}", ip, port);
}

std::unexpected<Error> refused(int reason, const PortRequest& r, const std::string& ip,
                               std::uint16_t port, const std::string& container) {
  const auto act = fmt::format("failed to bind host port for {}:{}:{}/{}", shown(ip, port),
                               container, r.container_port, r.proto);
  switch (reason) {
    case EADDRINUSE: return fail(Errc::conflict, "{}: address already in use", act);
    case EACCES:
    case EPERM:
      return std::unexpected(Error{
          Errc::forbidden, reason,
          fmt::format("{}: permission denied: ports below net.ipv4.ip_unprivileged_port_start are "
                      "reserved; publish on a higher port, or an administrator can allow it with "
                      "sysctl net.ipv4.ip_unprivileged_port_start={}",
                      act, port)});
    case EADDRNOTAVAIL:
      return std::unexpected(Error{
          Errc::invalid_argument, reason,
          fmt::format("{}: cannot assign requested address: the host has no address {}", act, ip)});
    default: return sys_error_of(reason, "{}", act);
  }
}

// The errno, or the socket.
std::expected<UniqueFd, int> bind_one(const std::string& proto, const SocketAddress& address) {
  const int type = proto == "udp" ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd fd(::socket(address.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return std::unexpected(errno);
  const int on = 1;
  if (address.family() == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (type == SOCK_DGRAM && address.is_v4())
    ::setsockopt(fd.get(), IPPROTO_IP, IP_PKTINFO, &on, sizeof on);
  if (type == SOCK_DGRAM && !address.is_v4())
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  // A container that was just removed: its connections may linger, and the keeper may still hold
  // its sockets (see release_port). Only for the bind: nobody shall share the port later.
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address.get(), address.size()) != 0) return std::unexpected(errno);
  if (type == SOCK_STREAM && ::listen(fd.get(), kBacklog) != 0) return std::unexpected(errno);
  const int off = 0;
  if (type == SOCK_DGRAM) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &off, sizeof off);
  return fd;
}

bool no_ipv6(int reason) {
  return reason == EAFNOSUPPORT || reason == EADDRNOTAVAIL || reason == EPROTONOSUPPORT;
}

// One number on one address, or on both families. The error's sys is EADDRINUSE when another one
// may do.
Result<std::vector<BoundPort>> bind_number(const PortRequest& r, std::uint16_t number,
                                           const std::string& container, const Taken& taken) {
  const bool every = r.host_ip.empty();
  std::vector<std::string> ips;
  if (every)
    ips = {"0.0.0.0", "::"};
  else
    ips = {r.host_ip};
  std::vector<BoundPort> bound;
  for (const auto& ip : ips) {
    if (number != 0 && taken(r.proto, ip, number)) {
      return std::unexpected(
          Error{Errc::conflict, EADDRINUSE,
                fmt::format("Bind for {} failed: port is already allocated", shown(ip, number))});
    }
    TRY(const auto address, SocketAddress::parse(ip, number));
    auto socket = bind_one(r.proto, address);
    if (!socket) {
      if (every && ip == "::" && no_ipv6(socket.error())) continue;
      auto error = refused(socket.error(), r, ip, number, container);
      error.error().sys = socket.error();
      return error;
    }
    TRY(const auto local, local_address(socket->get()));
    number = local.port();  // a free one: the other family takes the same
    bound.push_back({PublishedPort{r.proto, r.container_port, ip, number}, *std::move(socket)});
  }
  return bound;
}

Result<std::vector<BoundPort>> bind_request(const PortRequest& r, const std::string& container,
                                            const Taken& taken) {
  if (r.proto != "tcp" && r.proto != "udp")
    return fail(Errc::unsupported, "publish port {}/{}: only tcp and udp ports can be published",
                r.container_port, r.proto);
  if (r.container_port == 0) return fail(Errc::invalid_argument, "publish port 0: no such port");
  if (r.host_port == 0) {
    for (int i = 1;; ++i) {
      auto bound = bind_number(r, 0, container, taken);
      if (bound || bound.error().sys != EADDRINUSE || i == kRandomAttempts) return bound;
    }
  }
  const std::uint16_t last = r.host_port_end == 0 ? r.host_port : r.host_port_end;
  if (last < r.host_port)
    return fail(Errc::invalid_argument, "publish ports {}-{}: the range is empty", r.host_port,
                last);
  for (std::uint16_t number = r.host_port;; ++number) {
    auto bound = bind_number(r, number, container, taken);
    if (bound || bound.error().sys != EADDRINUSE || number == last) return bound;
  }
}

}  // namespace

void release_port(int socket) {
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  ::shutdown(socket, SHUT_RDWR);
}

Result<std::vector<BoundPort>> bind_ports(const std::vector<PortRequest>& requests,
                                          const std::string& container, const Taken& taken) {
  std::vector<BoundPort> all;
  for (const auto& r : requests) {
    // Ports that this very request has bound count as taken too.
    const Taken or_ours = [&](const std::string& proto, const std::string& ip, std::uint16_t port) {
      for (const auto& b : all)
        if (b.port.proto == proto && b.port.host_ip == ip && b.port.host_port == port) return true;
      return taken(proto, ip, port);
    };
    TRY(auto bound, bind_request(r, container, or_ours));
    for (auto& b : bound) all.push_back(std::move(b));
  }
  return all;
}

}  // namespace coracle::netstack
