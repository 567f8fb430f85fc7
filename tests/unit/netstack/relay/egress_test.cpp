#include "netstack/relay/egress.hpp"

#include <random>

#include <gtest/gtest.h>

namespace coracle::netstack {
namespace {

const Mac kMac{2, 0, 0, 0, 0, 1};

// 172.17.0.2:40000 -> 192.0.2.9:80, sequence 0x01020304, without options; checksums right.
std::vector<std::uint8_t> syn_frame() {
  SynFrame reversed;  // make_reset() writes from `shown` to `source`
  reversed.source = *parse_ipv4("192.0.2.9");
  reversed.source_port = 80;
  reversed.destination_port = 40000;
  auto frame = make_reset(reversed, *parse_ipv4("172.17.0.2"), kMac);
  // The reset becomes a SYN: other flags, other numbers, the checksum adjusted by a recount.
  frame[14 + 20 + 4] = 1, frame[14 + 20 + 5] = 2, frame[14 + 20 + 6] = 3, frame[14 + 20 + 7] = 4;
  for (int i = 8; i < 12; ++i) frame[static_cast<std::size_t>(14 + 20 + i)] = 0;
  frame[14 + 20 + 13] = 0x02;
  return frame;
}

std::uint16_t sum(std::span<const std::uint8_t> bytes, std::uint32_t start = 0) {
  std::uint32_t s = start;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2)
    s += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (s >> 16 != 0) s = (s & 0xffff) + (s >> 16);
  return static_cast<std::uint16_t>(s);
}
// 0xffff when the header's and the TCP segment's checksums are right.
std::uint16_t ip_sum(std::span<const std::uint8_t> frame) { return sum(frame.subspan(14, 20)); }
std::uint16_t tcp_sum(std::span<const std::uint8_t> frame) {
  const auto tcp = frame.subspan(34);
  return sum(tcp, sum(frame.subspan(26, 8)) + 6U + static_cast<std::uint32_t>(tcp.size()));
}

TEST(ParseSyn, ReadsASynAndNothingElse) {
  auto frame = syn_frame();
  SynFrame syn;
  ASSERT_TRUE(parse_syn(frame, syn));
  EXPECT_EQ(to_string(syn.source), "172.17.0.2");
  EXPECT_EQ(to_string(syn.destination), "192.0.2.9");
  EXPECT_EQ(syn.source_port, 40000);
  EXPECT_EQ(syn.destination_port, 80);
  EXPECT_EQ(syn.sequence, 0x01020304U);
  frame[14 + 20 + 13] = 0x12;  // SYN|ACK
  EXPECT_FALSE(parse_syn(frame, syn));
  frame = syn_frame();
  frame[14 + 6] = 0x20;  // a fragment
  EXPECT_FALSE(parse_syn(frame, syn));
}

TEST(ParseSyn, SurvivesEveryCutAndRandomBytes) {
  const auto frame = syn_frame();
  SynFrame syn;
  for (std::size_t n = 0; n < frame.size(); ++n)
    EXPECT_FALSE(parse_syn(std::span(frame).first(n), syn)) << n;
  std::mt19937 random(7);
  for (int i = 0; i < 200000; ++i) {
    auto broken = frame;
    broken[random() % broken.size()] = static_cast<std::uint8_t>(random());
    broken[14] = static_cast<std::uint8_t>(random());
    broken.resize(random() % (broken.size() + 1));
    if (parse_syn(broken, syn)) {
      EXPECT_LE(14 + syn.ip_header_size + 20, broken.size());
      (void)make_unreachable(broken, syn, syn.destination, 1, kMac);
    }
  }
}

TEST(Answers, AreWellFormed) {
  const auto frame = syn_frame();
  SynFrame syn;
  ASSERT_TRUE(parse_syn(frame, syn));
  const auto reset = make_reset(syn, syn.destination, kMac);
  EXPECT_EQ(ip_sum(reset), 0xffff);
  EXPECT_EQ(tcp_sum(reset), 0xffff);
  const auto unreachable = make_unreachable(frame, syn, syn.destination, 1, kMac);
  EXPECT_EQ(ip_sum(unreachable), 0xffff);
  EXPECT_EQ(sum(std::span(unreachable).subspan(34)), 0xffff);
}

TEST(RewriteDestination, KeepsTheChecksumsRight) {
  SynFrame syn;
  // A frame whose checksums are known to be right.
  ASSERT_TRUE(parse_syn(syn_frame(), syn));
  auto frame = make_reset(syn, *parse_ipv4("10.1.2.3"), kMac);
  SynFrame view;
  view.ip_header_size = 20;
  view.destination = syn.source;
  rewrite_destination(frame, view, *parse_ipv4("255.254.1.0"));
  EXPECT_EQ(ip_sum(frame), 0xffff);
  EXPECT_EQ(tcp_sum(frame), 0xffff);
}

TEST(MayConnect, NotToLoopbackNorToWhatIsNoHost) {
  for (const auto* bad : {"127.0.0.1", "127.9.9.9", "0.0.0.0", "224.0.0.1", "255.255.255.255"})
    EXPECT_FALSE(may_connect(*parse_ipv4(bad))) << bad;
  EXPECT_TRUE(may_connect(*parse_ipv4("10.0.0.1")));
}

}  // namespace
}  // namespace coracle::netstack
