#include "netstack/base/shares.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include <gtest/gtest.h>

#include "netstack/base/log_limit.hpp"
#include "netstack/slirp/slirp_flows.hpp"

namespace coracle::netstack {
namespace {

using namespace std::chrono_literals;

Ipv4 address(std::uint32_t last) { return Ipv4{0xAC110000 | last}; }

// Takes until it is refused.
std::vector<Charge> take_all(const TenantPtr& tenant, std::size_t each) {
  std::vector<Charge> all;
  while (tenant->may_open(each)) all.emplace_back(tenant, each);
  return all;
}

TEST(Shares, AReserveIsNeverGiven) {
  for (const std::size_t limit : {std::size_t{64}, std::size_t{1024}, std::size_t{20000}}) {
    const Shares shares(limit);
    EXPECT_LE(shares.capacity(), limit * 3 / 4) << limit;
    EXPECT_GE(shares.capacity(), limit / 2 - 1) << limit;
  }
}

TEST(Shares, OneThatTakesAllItCanLeavesMoreThanHalf) {
  Shares shares(20000);
  const auto greedy = shares.open(address(2));
  const auto held = take_all(greedy, 2);
  EXPECT_LT(greedy->held(), shares.capacity() / 2);
  EXPECT_GT(greedy->held(), shares.capacity() / 3);
  EXPECT_TRUE(shares.open(address(3))->may_open(1000));
}

TEST(Shares, HoweverManyTakeAllTheyCanTheOthersHaveRoomForAFew) {
  Shares shares(20000);
  std::vector<Charge> held;
  for (std::uint32_t i = 2; i < 50; ++i)
    for (auto& charge : take_all(shares.open(address(i)), 2)) held.push_back(std::move(charge));
  for (std::uint32_t i = 50; i < 100; ++i) {
    const auto few = take_all(shares.open(address(i)), 2);
    EXPECT_EQ(few.size(), Shares::kFew / 2) << i;
  }
}

TEST(Shares, WhatStandsMayStillGrow) {
  Shares shares(20000);
  const auto greedy = shares.open(address(2));
  auto held = take_all(greedy, 2);
  EXPECT_FALSE(greedy->may_open(2));
  EXPECT_TRUE(greedy->may_grow(2));
  while (greedy->may_grow(2)) held.emplace_back(greedy, 2);
  EXPECT_LT(greedy->held(), shares.capacity() * 2 / 3);
  EXPECT_GE(shares.free(), shares.capacity() / 4);
}

TEST(Shares, AChargeGoesWithItsOwner) {
  Shares shares(4096);
  const auto all = shares.free();
  const auto tenant = shares.open(address(2));
  {
    Charge first(tenant, 2);
    Charge second = std::move(first);
    EXPECT_EQ(tenant->held(), 2U);
    second.set(6);
    EXPECT_EQ(tenant->held(), 6U);
    EXPECT_EQ(shares.free(), all - 6);
    second = Charge(tenant, 1);
    EXPECT_EQ(tenant->held(), 1U);
  }
  EXPECT_EQ(tenant->held(), 0U);
  EXPECT_EQ(shares.free(), all);
}

TEST(Shares, ATenantIsKnownFromOpenToClose) {
  Shares shares(4096);
  std::vector<TenantPtr> gone;
  shares.on_close([&](const TenantPtr& t) { gone.push_back(t); });
  EXPECT_EQ(shares.find(address(2)), nullptr);
  const auto first = shares.open(address(2));
  EXPECT_EQ(shares.find(address(2)), first);
  const Charge left_over(first, 3);
  shares.close(address(2));
  EXPECT_EQ(shares.find(address(2)), nullptr);
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0], first);
  // The next one with this address owes nothing of what the first has not given back yet.
  const auto second = shares.open(address(2));
  EXPECT_EQ(second->held(), 0U);
  EXPECT_NE(second, first);
}

TEST(Shares, DisplacementsAreBoundedInTime) {
  Shares shares(4096);
  const auto tenant = shares.open(address(2));
  const auto start = Loop::Clock::now();
  const auto count = [&](Loop::Clock::time_point at) {
    unsigned n = 0;
    while (tenant->may_displace(1, at)) ++n;
    return n;
  };
  EXPECT_EQ(count(start), Shares::kDisplacementsAtOnce);
  EXPECT_EQ(count(start), 0U);
  EXPECT_NEAR(count(start + 250ms), Shares::kDisplacements_s / 4, 1);
  EXPECT_EQ(count(start + 1h), Shares::kDisplacementsAtOnce);
  EXPECT_FALSE(tenant->may_displace(Shares::kDisplacementsAtOnce + 1, start + 2h));
}

TEST(Seldom, LetsOneThroughAMinute) {
  Seldom seldom;
  const auto start = Loop::Clock::now();
  EXPECT_EQ(seldom.now(start), "");
  EXPECT_EQ(seldom.now(start + 1s), std::nullopt);
  EXPECT_EQ(seldom.now(start + 59s), std::nullopt);
  EXPECT_EQ(seldom.now(start + 60s), " (and 2 times before)");
  EXPECT_EQ(seldom.now(start + 200s), "");
}

TEST(LogLimit, EmptiesAFileThatGrew) {
  std::string path = "/tmp/netstack-log-XXXXXX";
  const UniqueFd made(::mkstemp(path.data()));
  const UniqueFd log(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
  ASSERT_TRUE(made && log);
  ASSERT_TRUE(write_all(log, std::string(1000, 'x')));
  EXPECT_FALSE(empty_when_above(log.get(), 1000));
  ASSERT_TRUE(write_all(log, "x"));
  EXPECT_TRUE(empty_when_above(log.get(), 1000));
  ASSERT_TRUE(write_all(log, "first\n"));
  struct stat st {};
  ::fstat(log.get(), &st);
  EXPECT_EQ(st.st_size, 6);
  ::unlink(path.c_str());
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  EXPECT_FALSE(empty_when_above(pipe->write.get(), 0));
}

std::vector<std::uint8_t> udp_frame() {
  std::vector<std::uint8_t> f(14 + 20 + 8);
  f[12] = 0x08;
  f[14] = 0x45;
  f[14 + 9] = 17;
  f[14 + 12] = 172;
  f[14 + 13] = 17;
  f[14 + 15] = 2;
  f[34] = 0x12;
  f[35] = 0x34;
  return f;
}

TEST(ParseFlow, KnowsAFlowByProtocolAndSourcePort) {
  const auto found = parse_flow(udp_frame());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->source, address(2));
  EXPECT_EQ(found->flow, FlowKey(17U << 16 | 0x1234));
}

TEST(ParseFlow, APingAndAFragmentAreFlowsOfTheirOwn) {
  auto ping = udp_frame();
  ping[14 + 9] = 1;
  ASSERT_TRUE(parse_flow(ping));
  EXPECT_EQ(parse_flow(ping)->flow, std::nullopt);
  auto fragment = udp_frame();
  fragment[14 + 6] = 0x20;  // more fragments
  EXPECT_EQ(parse_flow(fragment)->flow, std::nullopt);
  fragment[14 + 6] = 0;
  fragment[14 + 7] = 1;  // not the first
  EXPECT_EQ(parse_flow(fragment)->flow, std::nullopt);
}

TEST(ParseFlow, NothingOfABrokenFrameIsRead) {
  const auto whole = udp_frame();
  for (std::size_t n = 0; n < 34; ++n) EXPECT_FALSE(parse_flow(std::span(whole).first(n))) << n;
  auto long_header = whole;
  long_header[14] = 0x4f;  // 60 bytes, of which 28 are there
  EXPECT_FALSE(parse_flow(long_header));
  auto short_header = whole;
  short_header[14] = 0x44;
  EXPECT_FALSE(parse_flow(short_header));
  auto v6 = whole;
  v6[14] = 0x65;
  EXPECT_FALSE(parse_flow(v6));
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::vector<std::uint8_t> frame(random() % 80);
    for (auto& b : frame) b = static_cast<std::uint8_t>(random());
    if (frame.size() > 14) frame[12] = 0x08, frame[13] = 0;
    [[maybe_unused]] const auto found = parse_flow(frame);
  }
}

}  // namespace
}  // namespace coracle::netstack
