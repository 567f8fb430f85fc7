// Rooms of the engine, each made by itself over a store in a directory of the test's own: no engine,
// no daemon, no container.
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/context.hpp"
#include "engine/images.hpp"
#include "engine/logs/logs.hpp"
#include "engine/network/networks.hpp"
#include "engine/request/log_options.hpp"
#include "engine/volumes/volumes.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/tar.hpp"

namespace coracle {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

EngineConfig config_in(const Scratch& scratch) {
  EngineConfig config;
  config.data_root = scratch / "data";
  config.exec_root = scratch / "exec";
  return config;
}

// The floor that all rooms stand on.
class Room : public testing::Test {
 protected:
  Room() : context_(io_, workers_, config_in(scratch_)) {}
  void SetUp() override {
    ASSERT_TRUE(make_dirs(context_.config.data_root));
    ASSERT_TRUE(context_.store.prepare());
    context_.events = EventLog::open(io_, context_.config.data_root);
    storage::Config config;
    config.root = context_.config.data_root + "/storage";
    config.driver = "copy";
    config.one_id = !has_id_range();
    auto opened = storage::Storage::open(io_, workers_, config);
    ASSERT_TRUE(opened) << opened.error().message;
    context_.storage = *std::move(opened);
  }
  void TearDown() override {
    context_.events->close();
    run(io_, context_.scope.close());
    run(io_, context_.storage->close());
  }
  // A container that the table has; it was never started.
  ContainerPtr add_container(const std::string& id, const std::string& name) {
    auto c = std::make_shared<Container>(io_);
    c->record.id = id;
    c->record.name = name;
    c->record.host.network_mode = "bridge";
    c->record.host.log_config.type = "json-file";
    context_.table.add(c);
    return c;
  }

  const Scratch scratch_;
  asio::io_context io_;
  Workers workers_{io_, 2};
  Context context_;
};

const std::string kWeb(64, 'a');

TEST_F(Room, NetworksKeepTheIdsOfThoseThatAreAlwaysThere) {
  std::map<std::string, std::string> ids;
  {
    Networks networks(context_);
    ASSERT_TRUE(networks.open());
    ids = networks.ids();
    EXPECT_THAT(ids, SizeIs(3));
    const auto none = networks.find("none");
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_EQ("null", none->driver);
    EXPECT_EQ(ids.at("bridge"), networks.find(ids.at("bridge").substr(0, 12))->id);
    EXPECT_EQ("network mine not found", networks.find("mine").error().message);
    const auto hosts = networks.list({{"driver", {"host"}}});
    ASSERT_TRUE(hosts);
    ASSERT_THAT(*hosts, SizeIs(1));
    EXPECT_EQ("host", hosts->front().name);
  }
  Networks again(context_);
  ASSERT_TRUE(again.open());
  EXPECT_EQ(ids, again.ids());
}

TEST_F(Room, VolumesAreMadeListedAndInUseByWhoClaimsThem) {
  Volumes volumes(context_);
  const auto made = run(io_, volumes.create("data", "", {}, {{"k", "v"}}));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ("local", made->driver);
  EXPECT_EQ(Errc::not_found, run(io_, volumes.create("far", "nfs", {}, {})).error().code);
  const auto listed = volumes.list({{"label", {"k=v"}}});
  ASSERT_TRUE(listed);
  EXPECT_THAT(*listed, SizeIs(1));
  EXPECT_THAT(*volumes.list({{"label", {"k=w"}}}), IsEmpty());
  {
    Volumes::Claims claims(volumes, kWeb);
    claims.add("data");
    EXPECT_THAT(volumes.users("data"), ElementsAre(kWeb));
    EXPECT_THAT(run(io_, volumes.remove("data", false)).error().message,
                HasSubstr("volume is in use - [" + kWeb));
  }
  const auto removed = run(io_, volumes.remove("data", false));
  EXPECT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(context_.storage->volumes(), IsEmpty());
}

TEST_F(Room, LogsOfWhatIsAtRestAreReadToTheEnd) {
  Logs logs(context_);
  const auto c = add_container(kWeb, "web");
  const auto dir = context_.store.dir(kWeb);
  ASSERT_TRUE(make_dirs(dir));
  put(log_file_of(c->record.host.log_config, dir, kWeb),
      R"({"log":"one\n","stream":"stdout","time":"2026-01-01T00:00:00.000000001Z"})"
      "\n"
      R"({"log":"two\n","stream":"stderr","time":"2026-01-01T00:00:00.000000002Z"})"
      "\n");
  LogOptions options;
  options.out = options.err = true;
  auto stream = run(io_, logs.open(c, options));
  ASSERT_TRUE(stream) << stream.error().message;
  std::string text;
  for (;;) {
    const auto batch = run(io_, (*stream)->next());
    ASSERT_TRUE(batch) << batch.error().message;
    if (batch->empty()) break;
    for (const auto& entry : *batch) text += (entry.is_err ? "err " : "out ") + entry.text;
  }
  EXPECT_EQ("out one\nerr two\n", text);
  c->record.host.log_config.type = "none";
  EXPECT_FALSE(run(io_, logs.open(c, options)));
}

TEST_F(Room, ImagesInUseStay) {
  Images images(context_);
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  const auto bytes = Tar().file("app", "run").done();
  std::jthread feeder(
      [&bytes, to = std::move(pipe->write)] { static_cast<void>(write_all(to, bytes)); });
  storage::ImportOptions options;
  options.tag = *storage::parse_reference("app:1", true);
  const auto imported = run(io_, images.import(std::move(pipe->read), options));
  ASSERT_TRUE(imported) << imported.error().message;
  EXPECT_THAT(*images.list({{"reference", {"app*"}}}, false), SizeIs(1));
  const auto c = add_container(kWeb, "web");
  c->record.image_id = imported->id;
  EXPECT_EQ(1U, images.containers_of(imported->id));
  EXPECT_THAT(run(io_, images.remove("app:1", false)).error().message,
              HasSubstr("conflict: unable to remove repository reference \"app:1\""));
  context_.table.remove(*c);
  const auto removed = run(io_, images.remove("app:1", false));
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(removed->untagged, ElementsAre("app:1"));
}

}  // namespace
}  // namespace coracle
