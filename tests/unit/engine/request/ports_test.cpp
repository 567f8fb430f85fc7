#include "engine/request/ports.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(Ports, KeysHaveARangeAndAProtocol) {
  EXPECT_EQ(parse_port_key("80")->proto, "tcp");
  EXPECT_EQ(parse_port_key("53/udp")->first, 53);
  EXPECT_EQ(parse_port_key("8000-8010/tcp")->last, 8010);
  for (const char* bad : {"", "x", "0", "80/", "80/icmp", "70000", "90-80", "80-"})
    EXPECT_FALSE(parse_port_key(bad)) << bad;
}

TEST(Ports, BindingsBecomeRequests) {
  HostConfig host;
  host.port_bindings["80/tcp"] = {{"127.0.0.1", "8080"}, {"", "9000-9005"}};
  host.port_bindings["53/udp"] = {};
  const auto r = port_requests(host, ContainerConfig{});
  ASSERT_TRUE(r);
  ASSERT_EQ(r->size(), 3U);
  EXPECT_EQ((*r)[0].proto, "udp");
  EXPECT_EQ((*r)[0].host_port, 0);
  EXPECT_EQ((*r)[1].host_ip, "127.0.0.1");
  EXPECT_EQ((*r)[1].host_port, 8080);
  EXPECT_EQ((*r)[2].host_port, 9000);
  EXPECT_EQ((*r)[2].host_port_end, 9005);
}

TEST(Ports, PublishAllTakesTheExposedOnesThatAreNotBound) {
  HostConfig host;
  host.publish_all_ports = true;
  host.port_bindings["80/tcp"] = {{"", "8080"}};
  ContainerConfig config;
  config.exposed_ports["80/tcp"];
  config.exposed_ports["443/tcp"];
  const auto r = port_requests(host, config);
  ASSERT_TRUE(r);
  ASSERT_EQ(r->size(), 2U);
  EXPECT_EQ((*r)[1].container_port, 443);
}

TEST(Ports, BadAddressesAndSctpAreRefused) {
  HostConfig host;
  host.port_bindings["80/tcp"] = {{"localhost", "8080"}};
  EXPECT_EQ(port_requests(host, {}).error().code, Errc::invalid_argument);
  host.port_bindings = {{"80/sctp", {{"", "1"}}}};
  EXPECT_EQ(port_requests(host, {}).error().code, Errc::unsupported);
}

TEST(Ports, ExposedOnlyOnesAreShownWithoutABinding) {
  ContainerConfig config;
  config.exposed_ports["443/tcp"];
  const auto shown =
      shown_ports({{"tcp", 80, "0.0.0.0", 8080}, {"tcp", 80, "::", 8080}}, config, HostConfig{});
  EXPECT_TRUE(shown.at("443/tcp").empty());
  ASSERT_EQ(shown.at("80/tcp").size(), 2U);
  EXPECT_EQ(shown.at("80/tcp")[1].host_ip, "::");
  EXPECT_EQ(shown.at("80/tcp")[0].host_port, "8080");
}

}  // namespace
}  // namespace coracle
