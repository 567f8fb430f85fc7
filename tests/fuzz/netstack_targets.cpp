// netstack: what containers, and servers that they ask, put on the wire; resolv.conf; addresses.
#include <array>

#include "netstack/base/address.hpp"
#include "netstack/dns/dns_packet.hpp"
#include "netstack/relay/egress.hpp"
#include "tests/fuzz/target.hpp"

namespace coracle::fuzz {
namespace {

using namespace netstack;

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void dns(std::string_view input) {
  const auto message = bytes_of(input);
  (void)answers(message, message, 1);
  const auto question = parse_query(message);
  if (!question) return;
  MUST(question->end <= message.size());
  MUST(question->name.size() <= 255 + 63);
  const auto refused = make_empty_answer(message, *question, Rcode::server_failure);
  MUST(answers(refused, message, question->id));
  const auto found = make_address_answer(message, *question, Ipv4{0x0a000001}, 60);
  MUST(answers(found, message, question->id));
  MUST(!parse_query(found));  // an answer is no question: nobody talks to himself
  DnsBytes other(message.begin(), message.end());
  set_dns_id(other, static_cast<std::uint16_t>(question->id + 1));
  MUST(dns_id(other) != question->id);
}

// A response to a query that was asked: the one and the other come in one input.
void dns_response(std::string_view input) {
  if (input.size() < 2) return;
  const std::size_t at =
      std::min<std::size_t>(static_cast<std::uint8_t>(input[0]), input.size() - 1);
  const auto query = bytes_of(input.substr(1, at));
  const auto response = bytes_of(input.substr(1 + at));
  const bool ours = answers(response, query, 0x1234);
  if (ours) MUST(response.size() >= 12 && dns_id(response) == 0x1234);
}

// Labels that are whole, counts that are right.
void mutate_dns(std::string& s, Random& random) {
  if (s.size() < 12) s.resize(12);
  switch (random.below(5)) {
    case 0: s[5] = static_cast<char>(random.below(3)); break;
    case 1: {
      const std::string label(random.below(64), static_cast<char>('A' + random.below(26)));
      s.insert(12, static_cast<char>(label.size()) + label);
      break;
    }
    case 2:
      s.insert(12, std::string("\x04host\x06"
                               "docker\x08internal\0\0\x01\0\x01",
                               26));
      break;
    case 3: s.insert(12 + random.below(s.size() - 11), std::string("\xc0\x0c", 2)); break;
    default: s[2] = static_cast<char>(s[2] ^ '\x80'); break;
  }
}

void frame(std::string_view input) {
  SynFrame syn;
  const auto bytes = bytes_of(input);
  if (!parse_syn(bytes, syn)) return;
  const Mac mac{2, 0x42, 1, 2, 3, 4};
  (void)may_connect(syn.destination);
  MUST(make_reset(syn, syn.destination, mac).size() == 54);
  (void)make_unreachable(bytes, syn, syn.destination, 13, mac);
  std::vector<std::uint8_t> changed(bytes.begin(), bytes.end());
  rewrite_destination(changed, syn, Ipv4{0x7f000001});
  SynFrame again;
  MUST(parse_syn(changed, again) && again.destination == Ipv4{0x7f000001});
}

// The beginning of a SYN, the rest as it is.
void mend_frame(std::string& s) {
  if (s.size() < 54) return;
  s[12] = 8;
  s[13] = 0;
  s[14] = static_cast<char>(0x40 | (s[14] & 0x0f));
  s[23] = 6;
}

void resolv_conf(std::string_view input) {
  const auto servers = parse_resolv_conf(std::string(input));
  MUST(servers.size() <= 3);
  for (const auto& s : servers) MUST(s.port() == 53 && !s.text().empty());
}

void addresses(std::string_view input) {
  const std::string text(input);
  if (const auto a = parse_ipv4(text)) MUST(parse_ipv4(to_string(*a)).value() == *a);
  if (const auto m = parse_mac(text)) MUST(parse_mac(to_string(*m)).value() == *m);
  if (const auto s = parse_subnet(text)) {
    MUST(s->prefix_len <= 32 && s->contains(s->base) && s->contains(s->broadcast()));
    (void)to_string(*s);
  }
  if (const auto s = SocketAddress::parse(text, 80)) {
    const auto again = SocketAddress::parse(s->ip(), 80);
    MUST(again.has_value() && *again == *s);
  }
}

}  // namespace

std::vector<Target> netstack_targets() {
  const std::vector<std::string> labels{
      "\x04host\x06"
      "docker\x08internal",
      std::string("\0\0\x01\0\x01", 5), "\x3f", "\xc0\x0c", std::string("\0\x1c\0\x01", 4)};
  return {
      {.name = "dns",
       .run = dns,
       .dictionary = labels,
       .mutate = mutate_dns,
       .largest = 600,
       .inputs = 150'000},
      {.name = "dns_response",
       .run = dns_response,
       .dictionary = labels,
       .largest = 600,
       .inputs = 200'000},
      {.name = "frame",
       .run = frame,
       .dictionary = {std::string("\x08\0", 2), "\x45", "\x4f", std::string("\x40\0\x40\x06", 4)},
       .mend = mend_frame,
       .largest = 300,
       .inputs = 250'000},
      {.name = "resolv_conf",
       .run = resolv_conf,
       .dictionary = {"nameserver ", "fe80::1%eth0", "127.0.0.53", "options ", "search ", "#", ";",
                      "%lo", "\n"},
       .largest = 1024,
       .inputs = 50'000},
      {.name = "address",
       .run = addresses,
       .dictionary = {"255.255.255.255", "/32", "/33", "::1", "fe80::1", "::ffff:1.2.3.4", ":",
                      "02:42:ac:11:00:02"},
       .largest = 64,
       .inputs = 200'000},
  };
}

}  // namespace coracle::fuzz
