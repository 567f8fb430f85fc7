#include "shim/api/api.hpp"
#include "tests/unit/shim/fake/networks.hpp"
#include "tests/unit/shim/http_client.hpp"

namespace coracle::test {
namespace {

class NetworkRoutes : public ServerTest {
 protected:
  void add_routes(http::Router& router) override { api::add_network_routes(router, networks); }
  FakeNetworks networks;
};

TEST_F(NetworkRoutes, ShowNetworksWithStrictTypes) {
  const auto list = ask("GET", "/networks").json();
  EXPECT_TRUE(list.at(0).at("Containers").as_object().empty());
  const auto one = ask("GET", "/networks/bridge").json();
  EXPECT_EQ(one.at("IPAM").at("Config").at(0).at("Subnet").as_string(), "172.17.0.0/16");
  EXPECT_EQ(one.at("Containers").at("abc").at("IPv4Address").as_string(), "172.17.0.2/16");
  EXPECT_EQ(ask("GET", "/networks/none-such").message(), "network none-such not found");
}

}  // namespace
}  // namespace coracle::test
