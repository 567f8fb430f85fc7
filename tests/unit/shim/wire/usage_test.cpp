#include "shim/wire/usage.hpp"

#include <gtest/gtest.h>

#include "engine/base/json.hpp"

namespace coracle::wire {
namespace {

StatsView running() {
  StatsView v;
  v.id = "abc";
  v.name = "web";
  StatsSample s;
  s.at = Time{2'000'000'000};
  s.cpu.total_ns = 30;
  s.cpu.system_ns = 100;
  s.cpu.online = 2;
  s.memory = 4096;
  s.memory_limit = 8192;
  s.memory_detail = {{"inactive_file", 7}};
  s.pids = 3;
  s.networks["eth0"].rx_bytes = 11;
  s.block = {{8, 0, "read", 512}};
  v.sample = s;
  return v;
}

TEST(StatsJson, HasWhatTheClientComputesWith) {
  auto v = running();
  const auto first = stats_json(v, {1, 41});
  EXPECT_EQ(first.at("preread").as_string(), "0001-01-01T00:00:00Z");
  EXPECT_FALSE(first.at("precpu_stats").as_object().contains("system_cpu_usage"));
  EXPECT_FALSE(first.as_object().contains("os_type"));
  v.before = v.sample;
  const auto j = stats_json(v, {1, 52});
  EXPECT_EQ(j.at("os_type").as_string(), "linux");
  EXPECT_EQ(j.at("name").as_string(), "/web");
  EXPECT_EQ(j.at("cpu_stats").at("cpu_usage").at("total_usage").to_number<int>(), 30);
  EXPECT_EQ(j.at("precpu_stats").at("system_cpu_usage").to_number<int>(), 100);
  EXPECT_EQ(j.at("memory_stats").at("stats").at("inactive_file").to_number<int>(), 7);
  EXPECT_EQ(j.at("pids_stats").at("current").to_number<int>(), 3);
  EXPECT_EQ(j.at("networks").at("eth0").at("rx_bytes").to_number<int>(), 11);
  const auto& bytes = j.at("blkio_stats").at("io_service_bytes_recursive").as_array();
  EXPECT_EQ(bytes[0].at("op").as_string(), "read");
}

TEST(StatsJson, OfOneThatDoesNotRunIsZeros) {
  StatsView v;
  v.id = "abc";
  v.name = "web";
  const auto j = stats_json(v, {1, 51});
  EXPECT_EQ(j.at("read").as_string(), "0001-01-01T00:00:00Z");
  EXPECT_EQ(j.at("cpu_stats").at("cpu_usage").at("total_usage").to_number<int>(), 0);
  EXPECT_TRUE(j.at("memory_stats").as_object().empty());
  EXPECT_FALSE(j.as_object().contains("networks"));
}

DiskUsage usage() {
  DiskUsage u;
  u.layers = 100;
  u.layers_unused = 40;
  u.images.emplace(2);
  (*u.images)[0].containers = 1;
  u.containers.emplace(2);
  (*u.containers)[0].view.status = Status::running;
  (*u.containers)[0].size.rw = 10;
  (*u.containers)[1].view.status = Status::exited;
  (*u.containers)[1].size.rw = 5;
  return u;
}

TEST(DiskUsageJson, IsListsInOldVersions) {
  const auto j = disk_usage_json(usage(), true, false, {1, 51}, now());
  EXPECT_EQ(j.at("LayersSize").to_number<int>(), 100);
  EXPECT_EQ(j.at("Images").as_array().size(), 2U);
  EXPECT_TRUE(j.at("Volumes").is_null());  // not asked for
  EXPECT_TRUE(j.at("BuildCache").as_array().empty());
  EXPECT_FALSE(j.as_object().contains("ImageUsage"));
}

TEST(DiskUsageJson, IsSumsFrom152On) {
  const auto j = disk_usage_json(usage(), true, false, {1, 52}, now());
  const auto& images = j.at("ImageUsage");
  EXPECT_EQ(images.at("TotalCount").to_number<int>(), 2);
  EXPECT_EQ(images.at("ActiveCount").to_number<int>(), 1);
  EXPECT_EQ(images.at("Reclaimable").to_number<int>(), 40);
  EXPECT_EQ(j.at("ContainerUsage").at("TotalSize").to_number<int>(), 15);
  EXPECT_EQ(j.at("ContainerUsage").at("Reclaimable").to_number<int>(), 5);
  EXPECT_TRUE(j.as_object().contains("Images"));
  EXPECT_FALSE(images.as_object().contains("Items"));
  const auto verbose = disk_usage_json(usage(), true, true, {1, 52}, now());
  EXPECT_EQ(verbose.at("ImageUsage").at("Items").as_array().size(), 2U);
  EXPECT_FALSE(verbose.as_object().contains("Images"));
}

TEST(PrunedJson, IsNullWhenNoContainerWentAndEmptyWhenNoVolumeDid) {
  EXPECT_EQ(json::serialize(pruned_json({})), R"({"ContainersDeleted":null,"SpaceReclaimed":0})");
  EXPECT_EQ(json::serialize(pruned_volumes_json({})),
            R"({"VolumesDeleted":[],"SpaceReclaimed":0})");
  Pruned one;
  one.deleted = {"a"};
  one.reclaimed = 3;
  EXPECT_EQ(json::serialize(pruned_volumes_json(one)),
            R"({"VolumesDeleted":["a"],"SpaceReclaimed":3})");
}

}  // namespace
}  // namespace coracle::wire
