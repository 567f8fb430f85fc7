// DNS messages (RFC 1035), as much of them as a forwarder needs: the question is read, short
// answers of our own are written, everything else is passed on as it is. Reads hostile bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netstack/base/address.hpp"

namespace coracle::netstack {

using DnsBytes = std::vector<std::uint8_t>;

constexpr std::size_t kLongestMessage = 65535;
constexpr std::uint16_t kDnsA = 1;
constexpr std::uint16_t kDnsIn = 1;

enum class Rcode : std::uint8_t { no_error = 0, format_error = 1, server_failure = 2 };

struct DnsQuestion {
  std::uint16_t id = 0;
  std::string name;  // lower case, without the last dot
  std::uint16_t type = 0;
  std::uint16_t klass = 0;
  std::size_t end = 0;  // of the question in the message
};

// A query with one question, else nothing.
std::optional<DnsQuestion> parse_query(std::span<const std::uint8_t> message);
std::uint16_t dns_id(std::span<const std::uint8_t> message);  // of at least two bytes
void set_dns_id(std::span<std::uint8_t> message, std::uint16_t id);
// Is it a response to this query: same question, same id?
bool answers(std::span<const std::uint8_t> message, std::span<const std::uint8_t> query,
             std::uint16_t id);

// An answer without records. `query` is what parse_query() accepted.
DnsBytes make_empty_answer(std::span<const std::uint8_t> query, const DnsQuestion& question,
                           Rcode rcode);
DnsBytes make_address_answer(std::span<const std::uint8_t> query, const DnsQuestion& question,
                             Ipv4 address, std::uint32_t ttl_s);

// The addresses of resolv.conf(5)'s `nameserver` lines, in order; lines that cannot be read are
// left out.
std::vector<SocketAddress> parse_resolv_conf(const std::string& text);

}  // namespace coracle::netstack
