#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class System : public ShimTest {};

TEST_F(System, TellsItsVersion) {
  const auto v = ask("GET", "/version").json();
  EXPECT_EQ(v.at("ApiVersion").as_string(), "1.51");
  EXPECT_EQ(v.at("MinAPIVersion").as_string(), "1.24");
  EXPECT_TRUE(std::string(v.at("Version").as_string()).starts_with("28.5.2"));
  EXPECT_EQ(v.at("Arch").as_string(), "amd64");
  EXPECT_EQ(v.at("Components").at(0).at("Name").as_string(), "Engine");
}

TEST_F(System, InfoFollowsTheVersion) {
  const auto shown = [&](const char* version) {
    return ask("GET", std::string("/v") + version + "/info").json().as_object();
  };
  EXPECT_TRUE(shown("1.48").at("InitCommit").as_object().contains("Expected"));
  EXPECT_FALSE(shown("1.48").contains("FirewallBackend"));
  EXPECT_FALSE(shown("1.49").at("RuncCommit").as_object().contains("Expected"));
  EXPECT_TRUE(shown("1.49").contains("FirewallBackend"));
  EXPECT_FALSE(shown("1.49").at("BridgeNfIptables").as_bool());
  EXPECT_FALSE(shown("1.49").at("BridgeNfIp6tables").as_bool());
  EXPECT_FALSE(shown("1.50").contains("BridgeNfIptables"));
  EXPECT_FALSE(shown("1.49").contains("DiscoveredDevices"));
  EXPECT_EQ(json::serialize(shown("1.50").at("DiscoveredDevices")),
            R"([{"Source":"cdi","ID":"example.org/net=tap"}])");
  const auto* key = "AllowNondistributableArtifactsCIDRs";
  EXPECT_TRUE(shown("1.46").at("RegistryConfig").as_object().contains(key));
  EXPECT_FALSE(shown("1.47").at("RegistryConfig").as_object().contains(key));
}

TEST_F(System, MirrorsEndWithASlash) {
  const auto registries = ask("GET", "/info").json().at("RegistryConfig");
  for (const auto& mirrors :
       {registries.at("Mirrors"), registries.at("IndexConfigs").at("docker.io").at("Mirrors")}) {
    EXPECT_EQ(mirrors.at(0).as_string(), "https://one.example/");
    EXPECT_EQ(mirrors.at(1).as_string(), "https://two.example/");
  }
}

TEST_F(System, GivesInfoWithoutNullsWhereListsAreNormal) {
  const auto i = ask("GET", "/v1.41/info").json();
  EXPECT_EQ(i.at("OSType").as_string(), "linux");
  EXPECT_EQ(i.at("Architecture").as_string(), "x86_64");
  EXPECT_EQ(i.at("CgroupDriver").as_string(), "none");
  EXPECT_EQ(i.at("Swarm").at("LocalNodeState").as_string(), "inactive");
  for (const char* list : {"SecurityOptions", "Warnings", "DriverStatus", "Labels"})
    EXPECT_TRUE(i.at(list).is_array()) << list;
}

TEST_F(System, ChecksLogins) {
  const auto good = ask("POST", "/auth", R"({"username":"u","password":"right"})");
  EXPECT_EQ(good.status, 200);
  EXPECT_EQ(good.json().at("Status").as_string(), "Login Succeeded");
  EXPECT_EQ(good.json().at("IdentityToken").as_string(), "instead-of-it");
  EXPECT_EQ(ask("POST", "/auth", R"({"username":"u","password":"wrong"})").status, 401);
}

TEST_F(System, AnswersWhatItDoesNotDo) {
  EXPECT_EQ(ask("GET", "/services").status, 503);
  EXPECT_NE(ask("GET", "/nodes/x").message().find("not a swarm manager"), std::string::npos);
  EXPECT_EQ(ask("POST", "/swarm/leave").status, 503);
  EXPECT_EQ(ask("GET", "/plugins").body, "[]\n");
  EXPECT_EQ(ask("GET", "/plugins/a/b/json").status, 404);
  EXPECT_EQ(ask("GET", "/containers/x/checkpoints").status, 404);
  const auto no = ask("POST", "/networks/create", "{}");
  EXPECT_EQ(no.status, 501);
  EXPECT_EQ(no.message(), "creating a network is not supported by coracle yet");
}

TEST_F(System, StreamsEventsWithTheFieldsOfOld) {
  auto client = connect();
  client.send(
      "GET /v1.41/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D HTTP/1.1\r\nHost: "
      "x\r\n\r\n");
  EXPECT_EQ(client.read(true).headers.at("content-type"), "application/json");
  engine().happenings.happen();
  client.half_close();
  const auto text = client.read_to_end();
  EXPECT_EQ(engine().system().last_filters.at("type"), std::vector<std::string>{"container"});
  for (const char* part :
       {R"("status":"start")", R"("id":"abc")", R"("from":"busybox")", R"("Type":"container")",
        R"("time":1700000000)", R"("timeNano":1700000000123456789)", R"("scope":"local")"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

}  // namespace
}  // namespace coracle::test
