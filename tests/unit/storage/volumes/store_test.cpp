#include "storage/volumes/store.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>

#include <gtest/gtest.h>

#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"

namespace coracle::storage {
namespace {

using Options = std::map<std::string, std::string>;

class Volumes : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(store.load()); }
  void TearDown() override { run(io, trash.close()); }
  Result<Volume> create(const std::string& name, const Options& options = {}) {
    return run(io, store.create(name, {{"k", "v"}}, options));
  }

  Scratch scratch;
  asio::io_context io;
  Workers workers{io, 2};
  Trash trash{io, workers, scratch / "trash"};
  VolumeStore store{io, workers, trash, scratch / "volumes"};
};

TEST_F(Volumes, AreFoundAgainAfterARestart) {
  const auto made = create("data");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->mountpoint, scratch / "volumes/data/_data");
  const auto anonymous = create("");
  ASSERT_TRUE(anonymous);
  EXPECT_EQ(anonymous->name.size(), 64U);
  EXPECT_TRUE(anonymous->labels.contains("com.docker.volume.anonymous"));
  const auto same = create("data");
  ASSERT_TRUE(same);
  EXPECT_EQ(same->created, made->created);
  mkdirs(scratch / "volumes/broken");
  mkdirs(scratch / "volumes/.new-1");

  VolumeStore again(io, workers, trash, scratch / "volumes");
  const auto damaged = again.load();
  ASSERT_TRUE(damaged);
  ASSERT_EQ(damaged->size(), 1U);
  EXPECT_EQ(damaged->front().path, scratch / "volumes/broken/volume.json");
  EXPECT_EQ(again.list().size(), 2U);
  const auto found = again.find("data");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->labels.at("k"), "v");
  EXPECT_EQ(found->created, made->created);
  EXPECT_EQ(found->mountpoint, made->mountpoint);
}

TEST_F(Volumes, RefuseNamesAndOptionsWithDockersWords) {
  for (const char* name : {"a", "-ab", "a/b", "../x", "a b"}) {
    const auto made = create(name);
    ASSERT_FALSE(made) << name;
    EXPECT_EQ(made.error().code, Errc::invalid_argument) << name;
  }
  EXPECT_NE(create("a/b").error().message.find("includes invalid characters"), std::string::npos);
  EXPECT_EQ(create("vv", {{"odd", "1"}}).error().message, "create vv: invalid option: \"odd\"");
  EXPECT_EQ(create("vv", {{"type", "none"}}).error().message,
            "create vv: missing required option: \"device\"");
  EXPECT_NE(create("vv", {{"type", "nfs"}, {"o", "addr=1.2.3.4"}, {"device", ":/x"}})
                .error()
                .message.find("rootless"),
            std::string::npos);
  EXPECT_EQ(names(scratch / "volumes"), "");
}

TEST_F(Volumes, AreGoneAfterRemovalAndTheTrashIsEmptied) {
  ASSERT_TRUE(create("data"));
  put(scratch / "volumes/data/_data/f", "x");
  ASSERT_TRUE(run(io, store.remove("data")));
  EXPECT_EQ(store.find("data").error().message, "get data: no such volume");
  EXPECT_EQ(run(io, store.remove("data")).error().code, Errc::not_found);
  for (int i = 0; i < 6000 && !names(scratch / "trash").empty(); ++i)
    run(io, sleep_for(io, std::chrono::milliseconds(10)));
  EXPECT_EQ(names(scratch / "trash"), "");
}

TEST_F(Volumes, StandForADirectoryOfTheHost) {
  mkdirs(scratch / "host");
  put(scratch / "host/f", "x");
  const auto made =
      create("bound", {{"type", "none"}, {"o", "bind"}, {"device", scratch / "host"}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->mountpoint, scratch / "host");
  ASSERT_TRUE(run(io, store.remove("bound")));
  EXPECT_EQ(get(scratch / "host/f"), "x");
}

TEST_F(Volumes, OfTypeTmpfsAreMountedOnceAndUnmounted) {
  NEEDS_NAMESPACE();
  const auto made = create("mem", {{"type", "tmpfs"}, {"device", "x"}, {"o", "size=1m,mode=0700"}});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->needs_mount());
  EXPECT_TRUE(store.mounted().empty());
  ASSERT_TRUE(run(io, store.mount("mem")));
  put(made->mountpoint + "/f", "x");
  ASSERT_TRUE(run(io, store.mount("mem")));
  EXPECT_EQ(get(made->mountpoint + "/f"), "x");
  EXPECT_EQ(store.mounted(), std::vector<std::string>{"mem"});
  // A daemon that comes later finds it.
  VolumeStore again(io, workers, trash, scratch / "volumes");
  ASSERT_TRUE(again.load());
  EXPECT_EQ(again.mounted(), std::vector<std::string>{"mem"});
  ASSERT_TRUE(run(io, again.unmount("mem")));
  ASSERT_TRUE(run(io, again.unmount("mem")));
  EXPECT_EQ(names(made->mountpoint), "");
  ASSERT_TRUE(run(io, store.mount("mem")));
  ASSERT_TRUE(run(io, store.remove("mem")));
  EXPECT_EQ(names(scratch / "volumes"), "");
}

TEST_F(Volumes, WhoseDirectoryIsGoneSayWhatMountWouldSay) {
  const auto made = create("bound", {{"type", "none"}, {"o", "bind,ro"}, {"device", "/none/such"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->attributes(), std::vector<std::string>{"ro"});
  EXPECT_EQ(run(io, store.mount("bound")).error().message,
            "failed to mount local volume: mount /none/such:" + (scratch / "volumes/bound/_data") +
                ", flags: 0x1001: no such file or directory");
}

TEST_F(Volumes, AreFilledWheneverTheyAreEmpty) {
  NEEDS_NAMESPACE();
  mkdirs(scratch / "l/srv/data");
  put(scratch / "l/srv/data/f", "image");
  ASSERT_EQ(0, ::chmod((scratch / "l/srv/data").c_str(), 0750));
  const std::vector<std::string> layers{scratch / "l"};
  const auto fill = [&](const std::string& name, const std::string& path, bool in_use = false) {
    VolumeFill what;
    what.name = name;
    what.path = path;
    what.in_use = in_use;
    return run(io, store.fill(std::move(what), layers));
  };
  ASSERT_TRUE(create("empty"));
  ASSERT_TRUE(fill("empty", "/srv/data"));
  EXPECT_EQ(get(scratch / "volumes/empty/_data/f"), "image");
  struct stat st {};
  ASSERT_EQ(0, ::stat((scratch / "volumes/empty/_data").c_str(), &st));
  EXPECT_EQ(st.st_mode & 07777, 0750U);
  ASSERT_EQ(0, ::unlink((scratch / "volumes/empty/_data/f").c_str()));
  ASSERT_TRUE(fill("empty", "/srv/data", true));
  EXPECT_EQ(names(scratch / "volumes/empty/_data"), "f");

  ASSERT_TRUE(create("used"));
  put(scratch / "volumes/used/_data/mine", "x");
  ASSERT_TRUE(fill("used", "/srv/data"));
  EXPECT_EQ(names(scratch / "volumes/used/_data"), "mine");

  ASSERT_TRUE(create("other"));
  ASSERT_TRUE(fill("other", "/not/there"));
  EXPECT_EQ(names(scratch / "volumes/other/_data"), "");
}

// A container that has the volume writes to it while it is filled, and the fill fails.
TEST_F(Volumes, KeepWhatAContainerPutsIntoThemWhileAFillFails) {
  NEEDS_NAMESPACE();
  mkdirs(scratch / "l/data/m");
  for (int i = 0; i < 300; ++i) put(scratch / ("l/data/m/" + std::to_string(i)), "");
  put(scratch / "l/data/z", std::string(std::size_t{1} << 20, 'x'));
  ASSERT_TRUE(create("used"));
  const std::string data = scratch / "volumes/used/_data";
  std::atomic<bool> over = false;
  std::jthread container([&] {
    while (!over && !exists(data + "/m") && !exists(scratch / "volumes/used/.filling")) {
    }
    const UniqueFd mine(::open((data + "/mine").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  });
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_FSIZE, &old));
  rlimit low = old;
  low.rlim_cur = 4096;  // the last file does not fit
  ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &low));
  VolumeFill what;
  what.name = "used";
  what.path = "/data";
  what.in_use = true;
  const auto filled = run(io, store.fill(std::move(what), {scratch / "l"}));
  ASSERT_EQ(0, ::setrlimit(RLIMIT_FSIZE, &old));
  over = true;
  container.join();
  EXPECT_FALSE(filled);
  EXPECT_EQ(names(data), "mine");
  EXPECT_EQ(names(scratch / "volumes/used"), "_data volume.json");
}

TEST_F(Volumes, OfADirectoryOfTheHostAreFilledWithoutATrace) {
  NEEDS_NAMESPACE();
  mkdirs(scratch / "host");
  mkdirs(scratch / "l/data/d");
  put(scratch / "l/data/d/one", "1");
  ASSERT_EQ(0, ::link((scratch / "l/data/d/one").c_str(), (scratch / "l/data/two").c_str()));
  ASSERT_TRUE(create("bound", {{"type", "none"}, {"o", "bind"}, {"device", scratch / "host"}}));
  mkdirs(scratch / "host/.filling-bound/half");  // of a daemon that was killed
  VolumeFill what;
  what.name = "bound";
  what.path = "/data";
  const auto filled = run(io, store.fill(std::move(what), {scratch / "l"}));
  ASSERT_TRUE(filled) << filled.error().message;
  EXPECT_EQ(names(scratch / "host"), "d two");
  struct stat st {};
  ASSERT_EQ(0, ::stat((scratch / "host/two").c_str(), &st));
  EXPECT_EQ(st.st_nlink, 2U);
}

}  // namespace
}  // namespace coracle::storage
