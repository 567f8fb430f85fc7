#include "netstack/dns/dns_packet.hpp"

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "engine/base/fd.hpp"

namespace coracle::netstack {
namespace {

constexpr std::size_t kHeader = 12;
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kMostServers = 3;  // MAXNS of resolv.conf(5)

std::uint16_t read16(std::span<const std::uint8_t> m, std::size_t at) {
  return static_cast<std::uint16_t>(m[at] << 8 | m[at + 1]);
}
void put16(DnsBytes& m, std::uint32_t v) {
  m.push_back(static_cast<std::uint8_t>(v >> 8));
  m.push_back(static_cast<std::uint8_t>(v));
}

// One question at the front of a message: no compression there.
std::optional<DnsQuestion> parse_question(std::span<const std::uint8_t> m) {
  if (m.size() < kHeader || read16(m, 4) != 1) return std::nullopt;
  DnsQuestion q;
  q.id = dns_id(m);
  std::size_t at = kHeader;
  for (;;) {
    if (at >= m.size()) return std::nullopt;
    const std::size_t length = m[at++];
    if (length == 0) break;
    if (length > 63 || at + length > m.size() || q.name.size() + length > kLongestName)
      return std::nullopt;
    if (!q.name.empty()) q.name += '.';
    for (std::size_t i = 0; i < length; ++i) {
      const char c = static_cast<char>(m[at + i]);
      q.name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    at += length;
  }
  if (at + 4 > m.size()) return std::nullopt;
  q.type = read16(m, at);
  q.klass = read16(m, at + 2);
  q.end = at + 4;
  return q;
}

// Not if_nametoindex(3): it asks by a unix socket, which the sandbox does not allow.
std::uint32_t interface_index(const std::string& name) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return 0;
  std::memcpy(request.ifr_name, name.c_str(), name.size());
  if (::ioctl(fd.get(), SIOCGIFINDEX, &request) != 0) return 0;
  return static_cast<std::uint32_t>(request.ifr_ifindex);
}

DnsBytes start_answer(std::span<const std::uint8_t> query, const DnsQuestion& question, Rcode rcode,
                      std::uint16_t records) {
  DnsBytes m(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(question.end));
  m[2] = static_cast<std::uint8_t>(0x80 | (query[2] & 0x79));  // response; opcode and RD as asked
  m[3] = static_cast<std::uint8_t>(0x80 | static_cast<std::uint8_t>(rcode));  // RA
  m[6] = 0;
  m[7] = static_cast<std::uint8_t>(records);
  std::fill(m.begin() + 8, m.begin() + kHeader, std::uint8_t{0});
  return m;
}

}  // namespace

std::uint16_t dns_id(std::span<const std::uint8_t> message) { return read16(message, 0); }

void set_dns_id(std::span<std::uint8_t> message, std::uint16_t id) {
  message[0] = static_cast<std::uint8_t>(id >> 8);
  message[1] = static_cast<std::uint8_t>(id);
}

std::optional<DnsQuestion> parse_query(std::span<const std::uint8_t> message) {
  if (message.size() < kHeader || (message[2] & 0x80) != 0) return std::nullopt;
  return parse_question(message);
}

bool answers(std::span<const std::uint8_t> message, std::span<const std::uint8_t> query,
             std::uint16_t id) {
  if (message.size() < kHeader || (message[2] & 0x80) == 0 || dns_id(message) != id) return false;
  // Some servers send errors without the question.
  if (read16(message, 4) == 0) return true;
  const auto asked = parse_question(query);
  const auto given = parse_question(message);
  return asked && given && asked->name == given->name && asked->type == given->type &&
         asked->klass == given->klass;
}

DnsBytes make_empty_answer(std::span<const std::uint8_t> query, const DnsQuestion& question,
                           Rcode rcode) {
  return start_answer(query, question, rcode, 0);
}

DnsBytes make_address_answer(std::span<const std::uint8_t> query, const DnsQuestion& question,
                             Ipv4 address, std::uint32_t ttl_s) {
  DnsBytes m = start_answer(query, question, Rcode::no_error, 1);
  put16(m, 0xc000 | kHeader);  // the name of the question
  put16(m, kDnsA);
  put16(m, kDnsIn);
  put16(m, ttl_s >> 16);
  put16(m, ttl_s);
  put16(m, 4);
  put16(m, address.value >> 16);
  put16(m, address.value);
  return m;
}

std::vector<SocketAddress> parse_resolv_conf(const std::string& text) {
  std::vector<SocketAddress> servers;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line) && servers.size() < kMostServers;) {
    std::istringstream words(line);
    std::string keyword;
    std::string address;
    if (!(words >> keyword >> address) || keyword != "nameserver") continue;
    std::string scope;
    if (const auto percent = address.find('%'); percent != std::string::npos) {
      scope = address.substr(percent + 1);
      address.resize(percent);
    }
    auto parsed = SocketAddress::parse(address, 53);
    if (!parsed) continue;
    if (!scope.empty()) parsed->set_scope(interface_index(scope));
    servers.push_back(*parsed);
  }
  return servers;
}

}  // namespace coracle::netstack
