#include "engine/request/image_defaults.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::ElementsAre;

storage::ImageConfig image() {
  storage::ImageConfig i;
  i.env = {"PATH=/bin", "A=image"};
  i.entrypoint = {"/entry"};
  i.cmd = {"serve"};
  i.working_dir = "/srv";
  i.user = "app";
  i.labels = {{"a", "image"}, {"b", "image"}};
  i.exposed_ports["80/tcp"];
  i.volumes["/data"];
  storage::Healthcheck h;
  h.test = {"CMD", "check"};
  h.interval_ns = 5;
  i.healthcheck = h;
  return i;
}

TEST(Merge, AWorkingDirectoryIsWrittenWithoutDetours) {
  ContainerConfig c;
  for (const auto& [asked, kept] : std::initializer_list<std::pair<const char*, const char*>>{
           {"/tmp/", "/tmp"}, {"/", "/"}, {"//a/./b//../c/", "/a/c"}, {"/..", "/"}}) {
    c.working_dir = asked;
    EXPECT_EQ(with_image_defaults(c, image())->working_dir, kept) << asked;
  }
  storage::ImageConfig odd = image();
  odd.working_dir = "/srv/";
  c.working_dir.clear();
  EXPECT_EQ(with_image_defaults(c, odd)->working_dir, "/srv/");
}

TEST(Merge, TheRequestWinsAndTheImageFillsIn) {
  ContainerConfig c;
  c.env = {"A=own", "B=own"};
  c.labels = {{"a", "own"}};
  c.exposed_ports["81/tcp"];
  const auto m = with_image_defaults(c, image());
  ASSERT_TRUE(m);
  EXPECT_THAT(m->env, ElementsAre("A=own", "B=own", "PATH=/bin"));
  EXPECT_EQ(m->labels.at("a"), "own");
  EXPECT_EQ(m->labels.at("b"), "image");
  EXPECT_EQ(m->exposed_ports.size(), 2U);
  EXPECT_TRUE(m->volumes.contains("/data"));
  EXPECT_EQ(m->working_dir, "/srv");
  EXPECT_EQ(m->user, "app");
  EXPECT_THAT(m->entrypoint->items, ElementsAre("/entry"));
  EXPECT_THAT(m->cmd->items, ElementsAre("serve"));
}

TEST(Merge, AnOwnEntryPointTakesTheImagesCommandAway) {
  ContainerConfig c;
  c.entrypoint = StringList{{"/own"}};
  const auto m = with_image_defaults(c, image());
  ASSERT_TRUE(m);
  EXPECT_FALSE(m->cmd);
  EXPECT_THAT(m->entrypoint->items, ElementsAre("/own"));
}

TEST(Merge, AnOwnCommandKeepsTheImagesEntryPoint) {
  ContainerConfig c;
  c.cmd = StringList{{"own"}};
  const auto m = with_image_defaults(c, image());
  ASSERT_TRUE(m);
  EXPECT_THAT(m->entrypoint->items, ElementsAre("/entry"));
  EXPECT_THAT(m->cmd->items, ElementsAre("own"));
}

TEST(Merge, AnEmptyEntryPointResetsTheImages) {
  ContainerConfig c;
  c.entrypoint = StringList{{""}};
  c.cmd = StringList{{"sh"}};
  const auto m = with_image_defaults(c, image());
  ASSERT_TRUE(m);
  EXPECT_FALSE(m->entrypoint);
  c.cmd.reset();
  const auto nothing = with_image_defaults(c, image());
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().message, "no command specified");
}

TEST(Merge, AHealthCheckInheritsWhatItLeavesOpen) {
  ContainerConfig c;
  c.healthcheck = HealthConfig{};
  c.healthcheck->retries = 7;
  const auto m = with_image_defaults(c, image());
  ASSERT_TRUE(m);
  EXPECT_THAT(m->healthcheck->test, ElementsAre("CMD", "check"));
  EXPECT_EQ(m->healthcheck->interval_ns, 5);
  EXPECT_EQ(m->healthcheck->retries, 7);
}

TEST(Merge, DefaultsAreFilledIn) {
  const auto h = with_defaults(HostConfig{}, ContainerDefaults{});
  EXPECT_EQ(h.network_mode, "bridge");
  EXPECT_EQ(h.shm_size, 64 << 20);
  EXPECT_EQ(h.restart_policy.name, "no");
  EXPECT_EQ(h.log_config.type, "json-file");
  EXPECT_EQ(h.ipc_mode, "private");
}

}  // namespace
}  // namespace coracle
