#include "netstack/bridge/netlink.hpp"

#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

namespace coracle::netstack {
namespace {

template <class T>
T read_at(std::span<const char> bytes, std::size_t at) {
  T value{};
  std::memcpy(&value, bytes.subspan(at, sizeof value).data(), sizeof value);
  return value;
}

TEST(NetlinkRequest, AlignsItsAttributesAndCountsTheNestedOnes) {
  NetlinkRequest request(RTM_NEWLINK, NLM_F_CREATE);
  request.body(ifinfomsg{}).put_text(IFLA_IFNAME, "eth0");
  const auto info = request.open(IFLA_LINKINFO);
  request.put_u8(IFLA_INFO_DATA, 7);
  request.close(info);
  const auto bytes = request.finish(42);

  const auto header = read_at<nlmsghdr>(bytes, 0);
  EXPECT_EQ(header.nlmsg_len, bytes.size());
  EXPECT_EQ(header.nlmsg_type, RTM_NEWLINK);
  EXPECT_EQ(header.nlmsg_flags, NLM_F_REQUEST | NLM_F_CREATE);
  EXPECT_EQ(header.nlmsg_seq, 42U);
  const std::size_t name = NLMSG_LENGTH(sizeof(ifinfomsg));
  EXPECT_EQ(read_at<nlattr>(bytes, name).nla_len, 4 + 5);  // with its NUL
  EXPECT_STREQ(bytes.data() + name + 4, "eth0");
  EXPECT_EQ(info, name + 12);
  EXPECT_EQ(read_at<nlattr>(bytes, info).nla_type & NLA_TYPE_MASK, IFLA_LINKINFO);
  EXPECT_EQ(read_at<nlattr>(bytes, info).nla_len, 4 + 8);
  EXPECT_EQ(read_at<nlattr>(bytes, info + 4).nla_len, 4 + 1);
  EXPECT_EQ(bytes[info + 8], 7);
  EXPECT_EQ(bytes.size(), info + 12);
}

TEST(Netlink, FindsAnInterfaceByItsName) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  const auto lo = netlink->link_of("lo");
  ASSERT_TRUE(lo) << lo.error().message;
  EXPECT_EQ(lo->index, static_cast<int>(::if_nametoindex("lo")));
  EXPECT_EQ(lo->peer, 0);
  const auto none = netlink->index_of("no-such-link");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::not_found);
  EXPECT_EQ(none.error().message,
            "look up the interface no-such-link: netlink dump: no such device");
}

TEST(Netlink, NamesTheFirstRequestThatFailedAndGoesOnAfterIt) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  std::vector<NetlinkRequest> requests;
  requests.push_back(set_mtu(kLoopback, 1));
  requests.push_back(set_mtu(1 << 30, 1500));
  const auto done = netlink->run(std::move(requests));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "netlink request 1: operation not permitted");
  EXPECT_EQ(done.error().sys, EPERM);
  EXPECT_TRUE(netlink->index_of("lo"));
}

TEST(Netlink, ListsRoutesWithTheirPrefixes) {
  auto netlink = Netlink::open();
  ASSERT_TRUE(netlink);
  const auto routes = list_routes(*netlink);
  ASSERT_TRUE(routes) << routes.error().message;
  for (const auto& route : *routes) {
    EXPECT_GT(route.prefix_len, 0);
    EXPECT_EQ(route.base.value & ~route.mask(), 0U) << to_string(route);
  }
}

}  // namespace
}  // namespace coracle::netstack
