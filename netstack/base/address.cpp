#include "netstack/base/address.hpp"

#include <arpa/inet.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace coracle::netstack {

Result<Ipv4> parse_ipv4(const std::string& text) {
  in_addr a{};
  if (::inet_pton(AF_INET, text.c_str(), &a) != 1)
    return fail(Errc::invalid_argument, "invalid IPv4 address: {}", text);
  return Ipv4{ntohl(a.s_addr)};
}

std::string to_string(Ipv4 a) {
  return fmt::format("{}.{}.{}.{}", a.value >> 24, (a.value >> 16) & 0xff, (a.value >> 8) & 0xff,
                     a.value & 0xff);
}

Result<Subnet> parse_subnet(const std::string& text) {
  const auto slash = text.find('/');
  if (slash == std::string::npos) return fail(Errc::invalid_argument, "invalid subnet: {}", text);
  TRY(const auto base, parse_ipv4(text.substr(0, slash)));
  int length = -1;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + slash + 1, end, length);
  if (parsed.ec != std::errc{} || parsed.ptr != end || length < 0 || length > 32)
    return fail(Errc::invalid_argument, "invalid subnet: {}", text);
  Subnet subnet{base, static_cast<std::uint8_t>(length)};
  subnet.base.value &= subnet.mask();
  return subnet;
}

std::string to_string(const Subnet& s) {
  return fmt::format("{}/{}", to_string(s.base), s.prefix_len);
}

Mac mac_for(Ipv4 a) {
  return {0x02,
          0x42,
          static_cast<std::uint8_t>(a.value >> 24),
          static_cast<std::uint8_t>(a.value >> 16),
          static_cast<std::uint8_t>(a.value >> 8),
          static_cast<std::uint8_t>(a.value)};
}

Result<Mac> parse_mac(const std::string& text) {
  std::array<unsigned, 6> v{};
  int used = 0;
  const int n = std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3],
                            &v[4], &v[5], &used);
  if (n != 6 || static_cast<std::size_t>(used) != text.size())
    return fail(Errc::invalid_argument, "invalid MAC address: {}", text);
  Mac mac{};
  for (std::size_t i = 0; i < mac.size(); ++i) mac[i] = static_cast<std::uint8_t>(v[i]);
  if ((mac[0] & 1) != 0)
    return fail(Errc::invalid_argument, "invalid MAC address: {} is a multicast address", text);
  return mac;
}

std::string to_string(const Mac& m) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", m[0], m[1], m[2], m[3], m[4],
                     m[5]);
}

SocketAddress::SocketAddress(Ipv4 address, std::uint16_t port) {
  auto& in = *reinterpret_cast<sockaddr_in*>(&raw_);
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(address.value);
}

SocketAddress::SocketAddress(const in6_addr& address, std::uint16_t port) {
  auto& in = *reinterpret_cast<sockaddr_in6*>(&raw_);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  in.sin6_addr = address;
}

SocketAddress SocketAddress::from(const sockaddr_storage& raw) {
  SocketAddress a;
  a.raw_ = raw;
  return a;
}

Result<SocketAddress> SocketAddress::parse(const std::string& ip, std::uint16_t port) {
  in_addr v4{};
  if (::inet_pton(AF_INET, ip.c_str(), &v4) == 1)
    return SocketAddress(Ipv4{ntohl(v4.s_addr)}, port);
  in6_addr v6{};
  if (::inet_pton(AF_INET6, ip.c_str(), &v6) == 1) return SocketAddress(v6, port);
  return fail(Errc::invalid_argument, "invalid IP address: {}", ip);
}

std::uint16_t SocketAddress::port() const {
  return ntohs(is_v4() ? in4().sin_port : in6().sin6_port);
}

Ipv4 SocketAddress::v4() const { return Ipv4{ntohl(in4().sin_addr.s_addr)}; }

bool SocketAddress::loopback() const {
  if (is_v4()) return v4().value >> 24 == 127;
  return IN6_IS_ADDR_LOOPBACK(&in6().sin6_addr);
}

std::string SocketAddress::ip() const {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const void* from = is_v4() ? static_cast<const void*>(&in4().sin_addr)
                             : static_cast<const void*>(&in6().sin6_addr);
  ::inet_ntop(family(), from, buffer.data(), buffer.size());
  return buffer.data();
}

std::string SocketAddress::text() const {
  return is_v4() ? fmt::format("{}:{}", ip(), port()) : fmt::format("[{}]:{}", ip(), port());
}

socklen_t SocketAddress::size() const {
  return is_v4() ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

void SocketAddress::set_port(std::uint16_t port) {
  if (is_v4())
    reinterpret_cast<sockaddr_in*>(&raw_)->sin_port = htons(port);
  else
    reinterpret_cast<sockaddr_in6*>(&raw_)->sin6_port = htons(port);
}

void SocketAddress::set_scope(std::uint32_t interface_index) {
  if (!is_v4()) reinterpret_cast<sockaddr_in6*>(&raw_)->sin6_scope_id = interface_index;
}

std::strong_ordering SocketAddress::operator<=>(const SocketAddress& o) const {
  if (const auto c = family() <=> o.family(); c != 0) return c;
  if (const auto c = port() <=> o.port(); c != 0) return c;
  if (is_v4()) return v4() <=> o.v4();
  if (const auto c = in6().sin6_scope_id <=> o.in6().sin6_scope_id; c != 0) return c;
  return std::memcmp(&in6().sin6_addr, &o.in6().sin6_addr, sizeof(in6_addr)) <=> 0;
}

Result<SocketAddress> local_address(int socket) {
  sockaddr_storage raw{};
  socklen_t size = sizeof raw;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&raw), &size) != 0)
    return sys_error("read the address of a socket");
  return SocketAddress::from(raw);
}

}  // namespace coracle::netstack
