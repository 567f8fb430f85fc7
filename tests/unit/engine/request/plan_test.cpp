#include "engine/request/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kId = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
constexpr const char* kOtherId = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

// A host with one image, one other container ("db"), and the networks that are always there.
class Plan : public ::testing::Test {
 protected:
  Plan() {
    image_.id = "sha256:1";
    image_.config.cmd = {"serve"};
    image_.config.exposed_ports["80/tcp"];
    image_.config.volumes["/data"];
    other_.id = kOtherId;
    other_.config.hostname = "dbhost";
    other_.host.network_mode = "bridge";
    world_.id = kId;
    world_.image = &image_;
    world_.network_ids = &networks_;
    world_.log = &log_;
    world_.host_name = "thishost";
    world_.container = [this](const std::string& ref) -> Result<const ContainerRecord*> {
      if (ref == "db" || ref == kOtherId) return &other_;
      return fail(Errc::not_found, "No such container: {}", ref);
    };
    world_.image_named = [this](const std::string& name) -> Result<storage::Image> {
      if (name == "tools") return image_;
      return fail(Errc::not_found, "No such image: {}", name);
    };
  }
  Result<Planned> plan() { return plan_container(request_, world_); }
  Error refused() {
    const auto planned = plan();
    EXPECT_FALSE(planned);
    return planned ? Error{} : planned.error();
  }

  storage::Image image_;
  ContainerRecord other_;
  std::map<std::string, std::string> networks_ = {{"bridge", "b1"}, {"host", "h1"}, {"none", "n1"}};
  LogConfig log_;
  PlanWorld world_;
  CreateRequest request_;
};

TEST_F(Plan, ReadOnlyBindsAreShallowWhereAnOldClientAsks) {
  request_.host.binds = {"/a:/a:ro", "/b:/b"};
  for (const bool shallow : {false, true}) {
    request_.shallow_read_only = shallow;
    const auto planned = plan();
    ASSERT_TRUE(planned) << planned.error().message;
    for (const auto& m : planned->record.mounts) {
      const bool deep = m.destination != "/a" || !shallow;
      EXPECT_EQ(m.recursive_read_only, deep) << m.destination;
    }
  }
}

TEST_F(Plan, DecidesToTheLastDefault) {
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  const auto& r = planned->record;
  EXPECT_EQ(kId, r.id);
  EXPECT_EQ("sha256:1", r.image_id);
  EXPECT_EQ("0123456789ab", r.config.hostname);
  EXPECT_EQ("bridge", r.host.network_mode);
  EXPECT_EQ("b1", r.endpoints.at("bridge").network_id);
  ASSERT_EQ(1U, r.mounts.size());
  EXPECT_EQ(MountType::volume, r.mounts[0].type);
  EXPECT_TRUE(r.mounts[0].anonymous);
}

TEST_F(Plan, ANetworkByItsIdIsKeptByItsName) {
  request_.host.network_mode = "h1";
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ("host", planned->record.host.network_mode);
  EXPECT_EQ("thishost", planned->record.config.hostname);
}

TEST_F(Plan, WhoJoinsAnothersNetworkHasItsHostNameAndIsKeptById) {
  request_.host.network_mode = "container:db";
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(std::string("container:") + kOtherId, planned->record.host.network_mode);
  EXPECT_EQ("dbhost", planned->record.config.hostname);
  EXPECT_TRUE(planned->record.endpoints.empty());
  // What inspect shows of such a one can be asked for again: its host name, its image's ports.
  request_.config.hostname = "dbhost";
  request_.config.exposed_ports["80/tcp"];
  EXPECT_TRUE(plan());
  request_.config.hostname = "mine";
  EXPECT_EQ("conflicting options: hostname and the network mode", refused().message);
}

TEST_F(Plan, OptionsOfAnEndpointAreNotTakenInSilence) {
  request_.endpoints["bridge"].driver_opts["com.docker.network.endpoint.ifname"] = "web0";
  EXPECT_EQ(Errc::unsupported, refused().code);
  EXPECT_THAT(refused().message, HasSubstr("com.docker.network.endpoint.ifname"));
}

TEST_F(Plan, ADisabledNetworkIsNone) {
  request_.config.network_disabled = true;
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ("none", planned->record.host.network_mode);
}

TEST_F(Plan, AMissingOtherIsNo404) {
  request_.host.pid_mode = "container:gone";
  EXPECT_EQ(Errc::invalid_argument, refused().code);
  request_.host.pid_mode.clear();
  request_.host.ipc_mode = "container:gone";
  EXPECT_EQ(Errc::invalid_argument, refused().code);
  request_.host.ipc_mode.clear();
  request_.host.volumes_from = {"gone"};
  EXPECT_EQ(Errc::invalid_argument, refused().code);
  // The network of one that may come later.
  request_.host.volumes_from.clear();
  request_.host.network_mode = "container:gone";
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ("container:gone", planned->record.host.network_mode);
}

TEST_F(Plan, ABindThatShowsTheDataRootFollowsItsUnmounts) {
  world_.data_root = "/home/me/.local/share/coracle";
  for (const std::string source : {"/", "/home/me", "/home/me/.local/share/coracle/volumes"}) {
    request_.host.binds = {source + ":/x"};
    const auto planned = plan();
    ASSERT_TRUE(planned) << planned.error().message;
    EXPECT_EQ("rslave", planned->record.mounts[0].propagation) << source;
    request_.host.binds = {source + ":/x:rshared"};
    EXPECT_TRUE(plan());
    request_.host.binds = {source + ":/x:private"};
    EXPECT_THAT(refused().message, HasSubstr("must use either propagation mode"));
  }
  request_.host.binds = {"/home/me/.local/share/coracle2:/x"};
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ("", planned->record.mounts[0].propagation);
}

TEST_F(Plan, LinksAreKeptByIdAndNotThroughTheHostsNetwork) {
  request_.host.links = {"db:store"};
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_THAT(planned->record.host.links, ElementsAre(std::string(kOtherId) + ":store"));
  other_.host.network_mode = "host";
  EXPECT_THAT(refused().message, HasSubstr("host type networking can't be used with links"));
  request_.host.links = {"gone"};
  EXPECT_THAT(refused().message, HasSubstr("could not get container for gone"));
  EXPECT_EQ(Errc::invalid_argument, refused().code);
}

TEST_F(Plan, MountsOfImagesGetALayerOfTheirOwn) {
  MountRequest mount;
  mount.type = "image";
  mount.source = "tools";
  mount.target = "/tools";
  request_.host.mounts = {mount};
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_EQ(std::string(kId) + ".image-0", planned->record.mounts[0].layer);
  EXPECT_EQ("sha256:1", planned->record.mounts[0].image_id);
  request_.host.mounts[0].source = "nothing";
  EXPECT_EQ("No such image: nothing", refused().message);
  EXPECT_EQ(Errc::invalid_argument, refused().code) << "a 404 is the container's image's";
}

TEST_F(Plan, WhatCannotBeKeptIsSaid) {
  request_.host.resources.memory = std::int64_t{64} << 20;
  const auto planned = plan();
  ASSERT_TRUE(planned) << planned.error().message;
  EXPECT_THAT(planned->warnings, ElementsAre(HasSubstr("the memory limit is discarded")));
  EXPECT_EQ(0, planned->record.host.resources.memory);
}

TEST_F(Plan, WhatTheSpecificationCannotSayIsRefusedNow) {
  request_.host.sysctls["kernel.panic"] = "1";
  EXPECT_EQ("sysctl 'kernel.panic' is not in a separate kernel namespace", refused().message);
}

}  // namespace
}  // namespace coracle
