#include "netstack/base/address.hpp"

#include <gtest/gtest.h>

#include "netstack/address_pool.hpp"
#include "netstack/bridge/bridge.hpp"

namespace coracle::netstack {
namespace {

TEST(Address, ReadsAndWritesSubnets) {
  const auto s = parse_subnet("172.17.3.4/16");
  ASSERT_TRUE(s);
  EXPECT_EQ(to_string(*s), "172.17.0.0/16");
  EXPECT_TRUE(s->contains(*parse_ipv4("172.17.255.1")));
  EXPECT_FALSE(s->contains(*parse_ipv4("172.18.0.1")));
  for (const auto* bad : {"172.17.0.0", "172.17.0.0/33", "172.17.0.0/", "x/16", "172.17.0.0/16x"})
    EXPECT_FALSE(parse_subnet(bad)) << bad;
}

TEST(Address, MakesMacsAsDockerDoes) {
  EXPECT_EQ(to_string(mac_for(*parse_ipv4("172.17.0.2"))), "02:42:ac:11:00:02");
  EXPECT_FALSE(parse_mac("02:42:ac:11:00"));
  EXPECT_FALSE(parse_mac("01:00:5e:00:00:01")) << "a multicast address";
}

TEST(AddressPool, GivesTheLowestFreeAddress) {
  AddressPool pool(*parse_subnet("10.0.0.0/29"), *parse_ipv4("10.0.0.1"));
  EXPECT_EQ(to_string(*pool.take()), "10.0.0.2");
  ASSERT_TRUE(pool.take(*parse_ipv4("10.0.0.3")));
  EXPECT_EQ(to_string(*pool.take()), "10.0.0.4");
  pool.release(*parse_ipv4("10.0.0.3"));
  EXPECT_EQ(to_string(*pool.take()), "10.0.0.3");
  EXPECT_EQ(to_string(*pool.take()), "10.0.0.5");
  EXPECT_EQ(to_string(*pool.take()), "10.0.0.6");
  const auto full = pool.take();
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, Errc::unavailable);
}

TEST(AddressPool, RefusesWhatIsTakenOrNoHosts) {
  AddressPool pool(*parse_subnet("10.0.0.0/29"), *parse_ipv4("10.0.0.1"));
  ASSERT_TRUE(pool.take(*parse_ipv4("10.0.0.2")));
  EXPECT_EQ(pool.take(*parse_ipv4("10.0.0.2")).error().code, Errc::conflict);
  for (const auto* bad : {"10.0.0.0", "10.0.0.1", "10.0.0.7", "10.0.1.2"})
    EXPECT_EQ(pool.take(*parse_ipv4(bad)).error().code, Errc::invalid_argument) << bad;
}

TEST(ChooseSubnet, TakesDockersFirstPoolThatTheHostDoesNotRoute) {
  EXPECT_EQ(to_string(*choose_subnet({})), "172.17.0.0/16");
  EXPECT_EQ(to_string(*choose_subnet({*parse_subnet("172.17.4.0/24")})), "172.18.0.0/16");
  EXPECT_EQ(to_string(*choose_subnet({*parse_subnet("172.16.0.0/12")})), "192.168.0.0/20");
  EXPECT_FALSE(choose_subnet({*parse_subnet("172.16.0.0/12"), *parse_subnet("192.168.0.0/16")}));
}

}  // namespace
}  // namespace coracle::netstack
