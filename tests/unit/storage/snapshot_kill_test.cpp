// Kills at the fail points of writable layers and volumes: a child of this program dies there, and
// what it leaves must be an object or none.
#include <cstdlib>

#include <gtest/gtest.h>

#include "engine/base/process/process.hpp"
#include "storage/snapshots/writable_layers.hpp"
#include "storage/volumes/store.hpp"
#include "tests/unit/storage/scratch.hpp"

namespace coracle::storage {
namespace {

// A store of writable layers and volumes below a directory.
struct Parts {
  explicit Parts(std::string root) : dir(std::move(root)) {
    EXPECT_TRUE(layers.load());
    EXPECT_TRUE(volumes.load());
  }
  Parts(const Parts&) = delete;
  Parts& operator=(const Parts&) = delete;
  ~Parts() { run(io, trash.close()); }

  std::string dir;
  asio::io_context io;
  Workers workers{io, 1};
  Trash trash{io, workers, dir + "/trash"};
  WritableLayers layers{workers, trash, std::shared_ptr<const SnapshotDriver>(make_copy_driver()),
                        dir + "/containers", dir + "/layers"};
  VolumeStore volumes{io, workers, trash, dir + "/volumes"};
};

int child(const std::string& test, const std::string& fail, const std::string& dir) {
  SpawnOptions spawning;
  spawning.program = "/proc/self/exe";
  spawning.argv = {"snapshot_test", "--gtest_also_run_disabled_tests",
                   "--gtest_filter=KilledChild.DISABLED_" + test, "--gtest_brief=1"};
  spawning.env = {"CORACLE_FAIL=" + fail, "STORE=" + dir, "PATH=/usr/bin:/bin"};
  spawning.inherit_env = false;
  const auto process = spawn(spawning);
  EXPECT_TRUE(process);
  return process->wait()->code;
}

// Not tests: what the children run.
class KilledChild : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("STORE") == nullptr) GTEST_SKIP() << "run by the tests of kills only";
    parts.emplace(std::getenv("STORE"));
  }
  std::optional<Parts> parts;
};
TEST_F(KilledChild, DISABLED_Creates) {
  ASSERT_TRUE(run(parts->io, parts->volumes.create("data", {}, {})));
  ASSERT_TRUE(run(parts->io, parts->layers.create("c1", "sha256:i", {})));
}
TEST_F(KilledChild, DISABLED_Removes) {
  ASSERT_TRUE(run(parts->io, parts->volumes.remove("data")));
  ASSERT_TRUE(run(parts->io, parts->layers.remove("c1")));
}

TEST(Killed, AtACreationTheObjectIsNotThereAndTheNextOneWorks) {
#ifndef CORACLE_FAILPOINTS
  GTEST_SKIP() << "built without fail points";
#endif
  const Scratch scratch;
  ASSERT_EQ(137, child("Creates", "volume.create:kill", scratch.path()));
  {
    Parts parts(scratch.path());
    EXPECT_TRUE(parts.volumes.list().empty());
    EXPECT_EQ(names(scratch / "volumes"), "");
  }
  ASSERT_EQ(137, child("Creates", "snapshot.create:kill", scratch.path()));
  Parts parts(scratch.path());
  EXPECT_EQ(parts.volumes.list().size(), 1U);  // acknowledged before the kill
  EXPECT_TRUE(parts.layers.ids().empty());
  EXPECT_EQ(names(scratch / "containers"), "");
  EXPECT_TRUE(run(parts.io, parts.layers.create("c1", "sha256:i", {})));
}

TEST(Killed, AtARemovalTheObjectIsStillThere) {
#ifndef CORACLE_FAILPOINTS
  GTEST_SKIP() << "built without fail points";
#endif
  const Scratch scratch;
  ASSERT_EQ(0, child("Creates", "none:error", scratch.path()));
  ASSERT_EQ(137, child("Removes", "volume.remove:kill", scratch.path()));
  ASSERT_EQ(137, child("Removes", "snapshot.remove:kill", scratch.path()));
  Parts parts(scratch.path());
  EXPECT_TRUE(parts.volumes.list().empty());  // its removal was acknowledged
  EXPECT_EQ(parts.layers.ids(), std::vector<std::string>{"c1"});
  EXPECT_TRUE(run(parts.io, parts.layers.remove("c1")));
}

}  // namespace
}  // namespace coracle::storage
