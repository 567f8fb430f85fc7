#include "engine/bundle/etc_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

NetworkFacts bridge() {
  NetworkFacts f;
  f.address = "172.17.0.2";
  f.gateway = "172.17.0.1";
  f.resolv_conf = "# host\nnameserver 10.0.0.1\nsearch example.org\noptions ndots:2\n";
  return f;
}

TEST(NetworkFiles, HostsNamesTheContainerAndExtraHosts) {
  ContainerConfig c;
  c.hostname = "web";
  c.domainname = "example.org";
  HostConfig h;
  h.extra_hosts = {"db:10.1.2.3", "host.docker.internal:host-gateway", "six=[::2]"};
  const auto text = hosts_text(c, h, bridge());
  EXPECT_THAT(text, HasSubstr("127.0.0.1\tlocalhost\n"));
  EXPECT_THAT(text, HasSubstr("10.1.2.3\tdb\n"));
  EXPECT_THAT(text, HasSubstr("172.17.0.1\thost.docker.internal\n"));
  EXPECT_THAT(text, HasSubstr("::2\tsix\n"));
  EXPECT_THAT(text, EndsWith("172.17.0.2\tweb.example.org web\n"));
}

TEST(NetworkFiles, TheBridgeResolvesByItsGatewayAndKeepsTheHostsSearch) {
  EXPECT_EQ(resolv_conf_text({}, bridge()),
            "nameserver 172.17.0.1\nsearch example.org\noptions ndots:2\n");
  HostConfig h;
  h.dns = {"9.9.9.9"};
  h.dns_search = {"."};
  EXPECT_EQ(resolv_conf_text(h, bridge()), "nameserver 9.9.9.9\noptions ndots:2\n");
}

TEST(NetworkFiles, TheHostsNetworkHasTheHostsFiles) {
  auto f = bridge();
  f.address.clear();
  f.host = true;
  f.hosts = "127.0.0.1 localhost\n10.0.0.9 neighbour";
  EXPECT_EQ(resolv_conf_text({}, f), f.resolv_conf);
  HostConfig h;
  h.extra_hosts = {"x:1.2.3.4"};
  EXPECT_EQ(hosts_text({}, h, f), "127.0.0.1 localhost\n10.0.0.9 neighbour\n1.2.3.4\tx\n");
}

}  // namespace
}  // namespace coracle
