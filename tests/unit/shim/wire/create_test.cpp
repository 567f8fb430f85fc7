#include <gtest/gtest.h>

#include "engine/base/json.hpp"
#include "engine/face/update.hpp"
#include "shim/wire/container.hpp"

namespace coracle::wire {
namespace {

Result<CreateRequest> parse(const char* text, http::ApiVersion version = http::kMaxVersion) {
  const auto v = json::parse(text);
  EXPECT_TRUE(v);
  return parse_create(*v, version);
}

TEST(ParseCreate, MapsTheFlatBody) {
  const auto r = parse(R"({"Image":"b","Env":["A=1"],"Entrypoint":"","Tty":true,
    "ExposedPorts":{"80/tcp":{}},"StopTimeout":3,"Healthcheck":{"Test":["NONE"]},
    "HostConfig":{"Binds":["/a:/b:ro"],"Memory":1048576,"CpuQuota":5,"Init":true,
      "PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}],"53/udp":null},
      "RestartPolicy":{"Name":"on-failure","MaximumRetryCount":3},
      "Mounts":[{"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":5}}],
      "MaskedPaths":null,"ReadonlyPaths":[]},
    "NetworkingConfig":{"EndpointsConfig":{"bridge":{"Aliases":["x"]},"n2":null}}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->config.tty);
  EXPECT_EQ(r->config.entrypoint->items, std::vector<std::string>{""});
  EXPECT_FALSE(r->config.cmd);
  EXPECT_EQ(r->config.stop_timeout, 3);
  EXPECT_EQ(r->config.healthcheck->test, std::vector<std::string>{"NONE"});
  EXPECT_EQ(r->host.resources.memory, 1048576);
  EXPECT_EQ(r->host.resources.cpu_quota, 5);
  EXPECT_EQ(r->host.port_bindings.at("80/tcp").at(0).host_port, "8080");
  EXPECT_TRUE(r->host.port_bindings.at("53/udp").empty());
  EXPECT_EQ(r->host.restart_policy.maximum_retry_count, 3);
  EXPECT_EQ(r->host.mounts.at(0).tmpfs->size_bytes, 5);
  EXPECT_FALSE(r->host.masked_paths);
  EXPECT_TRUE(r->host.readonly_paths->empty());
  EXPECT_EQ(r->endpoints.at("bridge").aliases, std::vector<std::string>{"x"});
  EXPECT_EQ(r->endpoints.size(), 2u);
}

TEST(ParseCreate, TakesKeysInAnyCaseAtEveryDepth) {
  const auto r = parse(R"({"image":"b","CMD":["sh"],"exposedports":{"80/tcp":{}},
    "hostconfig":{"autoremove":true,"memory":1048576,"portbindings":{"80/tcp":[{"hostport":"1"}]},
      "restartpolicy":{"name":"no"},"mounts":[{"type":"tmpfs","tmpfsoptions":{"sizebytes":5}}]},
    "networkingconfig":{"endpointsconfig":{"Net":{"ipamconfig":{"ipv4address":"10.0.0.2"}}}}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->config.image, "b");
  EXPECT_EQ(r->config.cmd->items, std::vector<std::string>{"sh"});
  EXPECT_TRUE(r->host.auto_remove);
  EXPECT_EQ(r->host.resources.memory, 1048576);
  EXPECT_EQ(r->host.port_bindings.at("80/tcp").at(0).host_port, "1");
  EXPECT_EQ(r->host.mounts.at(0).tmpfs->size_bytes, 5);
  EXPECT_EQ(r->endpoints.at("Net").ipam->ipv4_address, "10.0.0.2");
}

TEST(ParseCreate, NamesTheFieldThatIsWrong) {
  const auto r = parse(R"({"HostConfig":{"Mounts":[{},{"Target":5}]}})");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Errc::invalid_argument);
  EXPECT_EQ(r.error().message, "HostConfig.Mounts[1].Target: expected a string");
}

TEST(ParseCreate, HonoursWhatVersionsKnew) {
  const char* two = R"({"Image":"i","NetworkingConfig":{"EndpointsConfig":{"a":{},"b":{}}}})";
  EXPECT_TRUE(parse(two, {1, 44}));
  EXPECT_FALSE(parse(two, {1, 43}));
  const char* foreign =
      R"({"Image":"i","HostConfig":{"Mounts":[{"Type":"bind","VolumeOptions":{}}]}})";
  EXPECT_FALSE(parse(foreign, {1, 42}));
  EXPECT_TRUE(parse(foreign, {1, 41}));
  const char* sized = R"({"Image":"i","HostConfig":{"ConsoleSize":[24,80]}})";
  EXPECT_EQ(parse(sized, {1, 42})->host.console_size.size(), 2u);
  EXPECT_TRUE(parse(sized, {1, 41})->host.console_size.empty());
}

TEST(ParseCreate, WhatAVersionDidNotKnowMeansWhatItMeantBefore) {
  const char* ro = R"({"Image":"i","Healthcheck":{"StartInterval":5000000},
    "HostConfig":{"AutoRemove":true,"Binds":["/a:/b:ro"],
      "Mounts":[{"Type":"bind","Source":"/c","Target":"/d","BindOptions":{"NonRecursive":true}}]}})";
  EXPECT_TRUE(parse(ro, {1, 43})->shallow_read_only);
  EXPECT_FALSE(parse(ro, {1, 44})->shallow_read_only);
  EXPECT_EQ(parse(ro, {1, 43})->config.healthcheck->start_interval_ns, 0);
  EXPECT_NE(parse(ro, {1, 44})->config.healthcheck->start_interval_ns, 0);
  EXPECT_FALSE(parse(ro, {1, 24})->host.auto_remove);
  EXPECT_TRUE(parse(ro, {1, 25})->host.auto_remove);
  EXPECT_FALSE(parse(ro, {1, 39})->host.mounts[0].bind->non_recursive);
  EXPECT_TRUE(parse(ro, {1, 40})->host.mounts[0].bind->non_recursive);
  const auto refused = [](const char* mount, http::ApiVersion before, http::ApiVersion from) {
    const auto body = std::string(R"({"Image":"i","HostConfig":{"Mounts":[)") + mount + "]}}";
    EXPECT_TRUE(parse(body.c_str(), from)) << mount;
    return parse(body.c_str(), before).error().message;
  };
  EXPECT_EQ(
      refused(R"({"Type":"bind","BindOptions":{"ReadOnlyForceRecursive":true}})", {1, 43}, {1, 44}),
      "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
  EXPECT_EQ(refused(R"({"Type":"volume","VolumeOptions":{"Subpath":"a"}})", {1, 44}, {1, 45}),
            "VolumeOptions.Subpath needs API v1.45 or newer");
  EXPECT_EQ(refused(R"({"Type":"image","Source":"i"})", {1, 47}, {1, 48}),
            "Mount type \"Image\" needs API v1.48 or newer");
}

TEST(ParseCreate, TakesTheWordsForNoLimitForNone) {
  const auto r = parse(R"({"Image":"i","HostConfig":{"MemorySwappiness":-1,"PidsLimit":0}})");
  ASSERT_TRUE(r);
  EXPECT_FALSE(r->host.resources.memory_swappiness);
  EXPECT_FALSE(r->host.resources.pids_limit);
}

TEST(ParseCreate, AListOfCapabilitiesMayBeOneString) {
  const auto r = parse(R"({"Image":"i","HostConfig":{"CapAdd":"NET_ADMIN","CapDrop":["ALL"]}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->host.cap_add.items, std::vector<std::string>{"NET_ADMIN"});
  EXPECT_EQ(r->host.cap_drop.items, std::vector<std::string>{"ALL"});
  EXPECT_EQ(parse(R"({"Image":"i","HostConfig":{"CapAdd":5}})").error().message,
            "HostConfig.CapAdd: expected a string or a list of strings");
}

TEST(ParseCreate, TheProtocolOfAPortIsTakenInAnyCase) {
  const auto r = parse(R"({"Image":"i","ExposedPorts":{"80/TCP":{},"53/":{},"7":{}},"HostConfig":{
    "PortBindings":{"80/tcp":[{"HostPort":"1"}],"80/Tcp":[{"HostPort":"2"}],"53/UDP":[]}}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_TRUE(r->config.exposed_ports.contains("80/tcp"));
  EXPECT_TRUE(r->config.exposed_ports.contains("53/tcp"));
  EXPECT_TRUE(r->config.exposed_ports.contains("7"));
  EXPECT_EQ(r->config.exposed_ports.size(), 3U);
  EXPECT_EQ(r->host.port_bindings.at("80/tcp").size(), 2U);
  EXPECT_TRUE(r->host.port_bindings.contains("53/udp"));
  for (const char* bad : {"80/icmp", "80/tcp/", "/tcp", "", "a/tcp", "80//", "80/ tcp"})
    EXPECT_FALSE(
        parse((R"({"Image":"i","ExposedPorts":{")" + std::string(bad) + R"(":{}}})").c_str()))
        << bad;
}

TEST(ParseCreate, MovesTheMacAddressToTheEndpoint) {
  const auto r = parse(
      R"({"MacAddress":"02:42:ac:11:00:09","NetworkingConfig":{"EndpointsConfig":{"n":{}}}})");
  ASSERT_TRUE(r);
  EXPECT_EQ(r->endpoints.at("n").mac_address, "02:42:ac:11:00:09");
}

TEST(ParseUpdate, AbsentIsUnchangedAndLimitsStandFlat) {
  const auto none = parse_update(*json::parse("{}"));
  ASSERT_TRUE(none);
  EXPECT_FALSE(none->restart_policy);
  EXPECT_EQ(none->resources.memory, 0);
  const auto some = parse_update(*json::parse(
      R"({"Memory":67108864,"PidsLimit":-1,"RestartPolicy":{"Name":"on-failure",
          "MaximumRetryCount":3}})"));
  ASSERT_TRUE(some);
  EXPECT_EQ(some->resources.memory, 64 << 20);
  EXPECT_FALSE(some->resources.pids_limit);
  EXPECT_EQ(some->restart_policy->name, "on-failure");
  EXPECT_EQ(some->restart_policy->maximum_retry_count, 3);
  EXPECT_EQ(parse_update(*json::parse(R"({"Memory":"x"})")).error().code, Errc::invalid_argument);
  EXPECT_EQ(parse_update(*json::parse("[]")).error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace coracle::wire
