#include "engine/spec/modes.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

NetworkMode network(const char* text) {
  HostConfig host;
  host.network_mode = text;
  return network_mode(host);
}

TEST(Modes, OfTheNetwork) {
  using Kind = NetworkMode::Kind;
  for (const char* text : {"", "default", "bridge"}) EXPECT_EQ(Kind::bridge, network(text).kind);
  EXPECT_EQ(Kind::host, network("host").kind);
  EXPECT_EQ(Kind::none, network("none").kind);
  EXPECT_EQ(Kind::container, network("container:web").kind);
  EXPECT_EQ("web", network("container:web").ref);
  EXPECT_EQ("", network("container:").ref);
  EXPECT_EQ(Kind::named, network("Bridge").kind);
  EXPECT_EQ("Bridge", network("Bridge").ref);
  EXPECT_TRUE(network("none").has_endpoint());
  EXPECT_FALSE(network("host").has_endpoint());
  EXPECT_FALSE(network("mine").has_endpoint());
}

TEST(Modes, OfPidsAndIpc) {
  EXPECT_EQ(PidMode::Kind::own, parse_pid_mode("")->kind);
  EXPECT_EQ(PidMode::Kind::host, parse_pid_mode("host")->kind);
  EXPECT_EQ("web", parse_pid_mode("container:web")->ref);
  for (const char* bad : {"container:", "private", "other"}) EXPECT_FALSE(parse_pid_mode(bad));
  EXPECT_EQ(IpcMode::Kind::own, parse_ipc_mode("private")->kind);
  EXPECT_EQ(IpcMode::Kind::shareable, parse_ipc_mode("shareable")->kind);
  EXPECT_EQ(IpcMode::Kind::none, parse_ipc_mode("none")->kind);
  EXPECT_EQ("web", parse_ipc_mode("container:web")->ref);
  for (const char* bad : {"container:", "own", "Host"}) EXPECT_FALSE(parse_ipc_mode(bad));
}

TEST(Modes, OfRestarts) {
  EXPECT_EQ(RestartKind::no, parse_restart_kind(""));
  EXPECT_EQ(RestartKind::no, parse_restart_kind("no"));
  EXPECT_EQ(RestartKind::unless_stopped, parse_restart_kind("unless-stopped"));
  EXPECT_FALSE(parse_restart_kind("never"));
}

}  // namespace
}  // namespace coracle
