#include "netstack/bridge/source_guard.hpp"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace coracle::netstack {
namespace {

// Another name when the set's type changes: a successor must not find one that it cannot use.
constexpr const char* kGuardTable = "coracle_source";
constexpr const char* kSet = "speakers";

// iface_index . ether_addr . ipv4_addr: each in whole words of four bytes.
std::array<std::uint8_t, 16> key_of(const Speaker& s) {
  std::array<std::uint8_t, 16> key{};
  const auto port = static_cast<std::uint32_t>(s.port);
  std::memcpy(key.data(), &port, sizeof port);
  std::memcpy(key.data() + 4, s.mac.data(), s.mac.size());
  const std::uint32_t address = htonl(s.address.value);
  std::memcpy(key.data() + 12, &address, sizeof address);
  return key;
}

NetlinkRequest element_request(std::uint16_t message, std::uint16_t flags, const Speaker& s) {
  NetlinkRequest r(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message), flags);
  nfgenmsg body{};
  body.nfgen_family = NFPROTO_BRIDGE;
  body.version = NFNETLINK_V0;
  r.body(body);
  r.put_text(NFTA_SET_ELEM_LIST_TABLE, kGuardTable).put_text(NFTA_SET_ELEM_LIST_SET, kSet);
  const auto list = r.open(NFTA_SET_ELEM_LIST_ELEMENTS);
  const auto element = r.open(NFTA_LIST_ELEM);
  const auto key = r.open(NFTA_SET_ELEM_KEY);
  const auto bytes = key_of(s);
  r.put(NFTA_DATA_VALUE, bytes.data(), bytes.size());
  r.close(key);
  r.close(element);
  r.close(list);
  return r;
}

// The messages that make one transaction of what stands between them.
NetlinkRequest batch_mark(std::uint16_t type) {
  NetlinkRequest r(type, 0);
  nfgenmsg body{};
  body.nfgen_family = AF_UNSPEC;
  body.version = NFNETLINK_V0;
  body.res_id = htons(NFNL_SUBSYS_NFTABLES);
  r.body(body);
  return r;
}

Result<> run(Netlink& netlink, NetlinkRequest request) {
  return netlink.run_between(batch_mark(NFNL_MSG_BATCH_BEGIN), std::move(request),
                             batch_mark(NFNL_MSG_BATCH_END));
}

}  // namespace

std::string source_rules() {
  return fmt::format(R"(
add table bridge {table}
add set bridge {table} {set} {{ type iface_index . ether_addr . ipv4_addr; }}
add chain bridge {table} from_port {{ type filter hook prerouting priority -300; policy accept; }}
flush chain bridge {table} from_port
add rule bridge {table} from_port ether type ip meta iif . ether saddr . ip saddr @{set} accept
add rule bridge {table} from_port ether type arp meta iif . ether saddr . arp saddr ip @{set} meta iif . arp saddr ether . arp saddr ip @{set} accept
add rule bridge {table} from_port drop
)",
                     fmt::arg("table", kGuardTable), fmt::arg("set", kSet));
}

Result<SourceGuard> SourceGuard::make() {
  TRY(auto netlink, Netlink::open(NETLINK_NETFILTER));
  return SourceGuard(std::move(netlink));
}

Result<> SourceGuard::allow(const Speaker& speaker) {
  auto done = run(netlink_, element_request(NFT_MSG_NEWSETELEM, NLM_F_CREATE, speaker));
  if (done) return {};
  return std::unexpected(
      done.error().within("let {} speak on the bridge", to_string(speaker.address)));
}

Result<> SourceGuard::forbid(const Speaker& speaker) {
  auto done = run(netlink_, element_request(NFT_MSG_DELSETELEM, 0, speaker));
  if (done || done.error().sys == ENOENT) return {};
  return std::unexpected(
      done.error().within("let {} no longer speak on the bridge", to_string(speaker.address)));
}

}  // namespace coracle::netstack
