#include "shim/wire/container.hpp"

#include <gtest/gtest.h>

#include "engine/base/json.hpp"

namespace coracle::wire {
namespace {

ContainerView sample() {
  ContainerView v;
  v.id = std::string(64, 'a');
  v.name = "web";
  v.path = "sh";
  v.args = {"-c", "echo hi"};
  v.status = Status::running;
  v.created = v.started_at = Time{1'700'000'000'000'000'000};
  v.host.network_mode = "bridge";
  v.ports = {{"80/tcp", {{"0.0.0.0", "8080"}, {"::", "8080"}}}, {"81/tcp", {}}};
  EndpointSettings e;
  e.ip_address = "172.17.0.2";
  e.ip_prefix_len = 16;
  e.dns_names = {"web"};
  v.endpoints["bridge"] = e;
  return v;
}

TEST(ContainerJson, ShowsStateMountsAndTheCopiesOfTheBridge) {
  const auto j = container_json(sample(), http::kMaxVersion);
  EXPECT_EQ(j.at("Name").as_string(), "/web");
  EXPECT_EQ(j.at("State").at("Status").as_string(), "running");
  EXPECT_TRUE(j.at("State").at("Running").as_bool());
  EXPECT_EQ(j.at("State").at("FinishedAt").as_string(), "0001-01-01T00:00:00Z");
  EXPECT_EQ(j.at("NetworkSettings").at("IPAddress").as_string(), "172.17.0.2");
  EXPECT_TRUE(j.at("NetworkSettings").at("Ports").at("81/tcp").is_null());
  EXPECT_EQ(j.at("NetworkSettings").at("Ports").at("80/tcp").as_array().size(), 2u);
  EXPECT_TRUE(j.at("NetworkSettings").at("Networks").at("bridge").at("IPAMConfig").is_null());
  EXPECT_TRUE(j.at("HostConfig").at("Binds").is_null());
  EXPECT_TRUE(j.at("HostConfig").at("PidsLimit").is_null());
  EXPECT_TRUE(j.at("Config").at("Volumes").is_null());
  EXPECT_TRUE(j.at("Config").at("Labels").is_object());
  EXPECT_TRUE(j.at("ExecIDs").is_null());
}

TEST(ContainerJson, ShowsOfARequestForDevicesWhatItHeld) {
  auto view = sample();
  DeviceRequest request;
  request.driver = "cdi";
  request.device_ids = {"vendor.com/class=name"};
  view.host.resources.device_requests = {request};
  view.host.resources.device_cgroup_rules = {"c 7:128 rwm"};
  const auto host = container_json(view, http::kMaxVersion).at("HostConfig");
  const auto& shown = host.at("DeviceRequests").at(0);
  EXPECT_EQ(shown.at("DeviceIDs").at(0).as_string(), "vendor.com/class=name");
  EXPECT_TRUE(shown.at("Capabilities").is_null());
  EXPECT_TRUE(shown.at("Options").is_null());
  EXPECT_EQ(host.at("DeviceCgroupRules").at(0).as_string(), "c 7:128 rwm");
}

TEST(ContainerJson, GoesBackIntoCreate) {
  auto body = container_json(sample(), http::kMaxVersion).at("Config").as_object();
  body["HostConfig"] = container_json(sample(), http::kMaxVersion).at("HostConfig");
  boost::json::object networking;
  networking["EndpointsConfig"] =
      container_json(sample(), http::kMaxVersion).at("NetworkSettings").at("Networks");
  body["NetworkingConfig"] = networking;
  const auto again = parse_create(body, http::kMaxVersion);
  EXPECT_TRUE(again) << again.error().message;
}

TEST(ContainerJson, DropsWhatOldVersionsDidNotKnow) {
  const auto old = container_json(sample(), {1, 43});
  const auto& endpoint = old.at("NetworkSettings").at("Networks").at("bridge").as_object();
  EXPECT_FALSE(endpoint.contains("DNSNames"));
  EXPECT_FALSE(endpoint.contains("GwPriority"));
}

TEST(ContainerSummary, HasARowForEachHostAddress) {
  const auto j =
      container_summary(sample(), "busybox", http::kMaxVersion, Time{1'700'000'060'000'000'000});
  EXPECT_EQ(j.at("Command").as_string(), "sh -c 'echo hi'");
  EXPECT_EQ(j.at("Status").as_string(), "Up About a minute");
  EXPECT_EQ(j.at("Created").as_int64(), 1'700'000'000);
  const auto& ports = j.at("Ports").as_array();
  ASSERT_EQ(ports.size(), 3u);
  EXPECT_EQ(ports[1].at("IP").as_string(), "::");
  EXPECT_EQ(ports[1].at("PublicPort").as_int64(), 8080);
  EXPECT_FALSE(ports[2].as_object().contains("IP"));
  EXPECT_TRUE(j.at("Labels").is_object());
}

TEST(ContainerSummary, IsValidWhateverStandsInIt) {
  auto v = sample();
  v.args = {"\"quoted\" \\ \n\t\r\x01", "ümlaut"};
  v.config.labels = {{"a\"b", "c\\d"}};
  const auto j = container_summary(v, "busybox", http::kMaxVersion, now(), ContainerSize{5, 1005});
  EXPECT_EQ(j.at("Command").as_string(), "sh '\"quoted\" \\ \n\t\r\x01' ümlaut");
  EXPECT_EQ(j.at("Labels").at("a\"b").as_string(), "c\\d");
  EXPECT_EQ(j.at("SizeRw").as_int64(), 5);
  EXPECT_EQ(j.at("SizeRootFs").as_int64(), 1005);
}

TEST(ContainerSummary, HasTheFieldsOfItsVersion) {
  auto v = sample();
  v.health.emplace().status = "healthy";
  EXPECT_FALSE(container_summary(v, "", {1, 51}, now()).as_object().contains("Health"));
  EXPECT_EQ(container_summary(v, "", {1, 52}, now()).at("Health").at("Status").as_string(),
            "healthy");
  v.endpoints["mine"] = {};
  v.host.network_mode = "mine";
  v.id = std::string(64, 'a');
  const auto old = container_summary(v, "", {1, 43}, now());
  const auto& mine = old.at("NetworkSettings").at("Networks").at("mine").as_object();
  EXPECT_EQ(mine.at("Aliases").as_array()[0].as_string(), "aaaaaaaaaaaa");
  EXPECT_FALSE(mine.contains("DNSNames"));
  EXPECT_FALSE(mine.contains("GwPriority"));
  EXPECT_TRUE(mine.at("IPAMConfig").is_null());
}

TEST(ContainerSummary, ListsADamagedOneWithItsReason) {
  auto v = sample();
  v.damaged = true;
  v.error = "config.json: invalid JSON";
  const auto j = container_summary(v, "", http::kMaxVersion, now());
  EXPECT_EQ(j.at("State").as_string(), "dead");
  EXPECT_EQ(j.at("Status").as_string(), "Damaged: config.json: invalid JSON");
}

}  // namespace
}  // namespace coracle::wire
