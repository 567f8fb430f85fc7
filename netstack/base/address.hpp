// Addresses as values: IPv4, MAC, and socket addresses of both families.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <compare>
#include <cstdint>
#include <string>

#include "engine/base/result.hpp"

namespace coracle::netstack {

struct Ipv4 {
  std::uint32_t value = 0;  // in host order
  auto operator<=>(const Ipv4&) const = default;
};
// errors: invalid_argument
Result<Ipv4> parse_ipv4(const std::string& text);
std::string to_string(Ipv4 address);

struct Subnet {
  Ipv4 base;
  std::uint8_t prefix_len = 0;

  [[nodiscard]] std::uint32_t mask() const {
    return prefix_len == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_len);
  }
  [[nodiscard]] bool contains(Ipv4 a) const { return (a.value & mask()) == (base.value & mask()); }
  [[nodiscard]] Ipv4 broadcast() const { return Ipv4{base.value | ~mask()}; }
};
// "172.17.0.0/16". errors: invalid_argument
Result<Subnet> parse_subnet(const std::string& text);
std::string to_string(const Subnet& subnet);

using Mac = std::array<std::uint8_t, 6>;
// 02:42 and the four bytes of the address, as Docker makes them: an address that is used again by
// another container keeps its MAC, so that nobody's ARP cache is wrong.
Mac mac_for(Ipv4 address);
// errors: invalid_argument
Result<Mac> parse_mac(const std::string& text);
std::string to_string(const Mac& mac);

// A sockaddr of either family, compared by value.
class SocketAddress {
 public:
  SocketAddress() = default;
  SocketAddress(Ipv4 address, std::uint16_t port);
  SocketAddress(const in6_addr& address, std::uint16_t port);
  // From what a system call filled in.
  static SocketAddress from(const sockaddr_storage& raw);
  // "127.0.0.1", "::1". errors: invalid_argument
  static Result<SocketAddress> parse(const std::string& ip, std::uint16_t port);

  [[nodiscard]] int family() const { return raw_.ss_family; }
  [[nodiscard]] bool is_v4() const { return family() == AF_INET; }
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] Ipv4 v4() const;        // only when is_v4()
  [[nodiscard]] bool loopback() const;  // 127.0.0.0/8, ::1
  [[nodiscard]] std::string ip() const;
  [[nodiscard]] std::string text() const;  // 127.0.0.1:80, [::1]:80
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw_); }
  [[nodiscard]] socklen_t size() const;
  void set_port(std::uint16_t port);
  void set_scope(std::uint32_t interface_index);  // of a link-local IPv6 address
  std::strong_ordering operator<=>(const SocketAddress& other) const;
  bool operator==(const SocketAddress& other) const { return (*this <=> other) == 0; }

 private:
  [[nodiscard]] const sockaddr_in& in4() const {
    return *reinterpret_cast<const sockaddr_in*>(&raw_);
  }
  [[nodiscard]] const sockaddr_in6& in6() const {
    return *reinterpret_cast<const sockaddr_in6*>(&raw_);
  }
  sockaddr_storage raw_{};
};

// The address that a bound socket has. See getsockname(2).
Result<SocketAddress> local_address(int socket);

}  // namespace coracle::netstack
