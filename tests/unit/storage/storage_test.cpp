#include "storage/storage.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/process.hpp"
#include "in_user_namespace.hpp"
#include "scratch.hpp"
#include "storage/digest.hpp"
#include "storage/manifest.hpp"
#include "tar.hpp"

namespace coracle::storage {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const std::string kBase =
    Tar().dir("etc").file("etc/passwd", "root:x:0:0").file("gone", "1").done();
const std::string kTop =
    Tar().file(".wh.gone", "").file("app", "run").symlink("pw", "/etc/passwd").done();

std::string config_of(const std::vector<std::string>& layers, const std::string& command) {
  ConfigFile c;
  c.os = "linux";
  c.architecture = "amd64";
  c.created = Time{1'000'000'000};
  c.config.cmd = {command};
  for (const auto& layer : layers) c.rootfs.diff_ids.push_back(sha256_of(layer));
  return write_config(c);
}

// As docker save wrote it before it knew OCI: layers first, a repeated one as a link.
std::string docker_archive(const std::string& config, const std::string& tags) {
  return Tar()
      .file("aa/layer.tar", kBase)
      .file("bb/layer.tar", gzipped(kTop))
      .symlink("cc/layer.tar", "../aa/layer.tar")
      .file("conf.json", config)
      .file("manifest.json", R"([{"Config":"conf.json","RepoTags":)" + tags +
                                 R"(,"Layers":["cc/layer.tar","bb/layer.tar"]}])")
      .done();
}

class Store : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }
  void open() {
    ignore_sigpipe();
    Config config;
    config.root = scratch / "store";
    config.driver = "copy";
    config.one_id = !has_id_range();
    auto opened = Storage::open(io, workers, config);
    ASSERT_TRUE(opened) << opened.error().message;
    store = *std::move(opened);
  }
  void close() {
    if (store) run(io, store->close());
    store.reset();
  }
  void reopen() {
    close();
    open();
  }
  // A pipe that a thread fills.
  UniqueFd fed(const std::string& bytes) {
    auto pipe = make_pipe();
    feeders.emplace_back(
        [bytes, to = std::move(pipe->write)] { static_cast<void>(write_all(to, bytes)); });
    return std::move(pipe->read);
  }
  Result<std::vector<Image>> load(const std::string& bytes) {
    said.clear();
    ProgressSink sink = [this](const Progress& p) { said += p.stream; };
    return run(io, store->load(fed(bytes), sink));
  }
  Result<std::string> save(std::vector<std::string> what) {
    auto pipe = make_pipe();
    std::string bytes;
    std::jthread reader([&bytes, from = std::move(pipe->read)] {
      bytes = *read_all(from, std::size_t{100} << 20);
    });
    const auto done = run(io, store->save(std::move(what), std::move(pipe->write)));
    reader.join();
    if (!done) return std::unexpected(done.error());
    return bytes;
  }
  std::string blobs() { return names(scratch / "store/blobs/sha256"); }

  Scratch scratch;
  asio::io_context io;
  Workers workers{io, 3};
  std::unique_ptr<Storage> store;
  std::vector<std::jthread> feeders;
  std::string said;
};

TEST_F(Store, LoadsADockerArchiveAndReadsItsFiles) {
  const auto config = config_of({kBase, kTop}, "app");
  const auto loaded = load(docker_archive(config, R"(["x:1","docker.io/me/y:2"])"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ("Loaded image: x:1\nLoaded image: me/y:2\n", said);
  const auto image = store->find("x:1");
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(sha256_of(config), image->id);
  EXPECT_THAT(image->repo_tags, ElementsAre("me/y:2", "x:1"));
  EXPECT_THAT(image->config.cmd, ElementsAre("app"));
  EXPECT_THAT(image->layer_sizes, ElementsAre(11, 3));
  EXPECT_EQ(14, image->size);
  EXPECT_EQ(image->id, store->find(image->id.substr(7, 12))->id);
  EXPECT_EQ(image->id, store->find(image->id)->id);
  const auto read = [&](const std::string& path) {
    return run(io, store->read_image_file(image->id, path, 100));
  };
  EXPECT_EQ("root:x:0:0", *read("/pw"));
  EXPECT_EQ(Errc::not_found, read("/gone").error().code);
  EXPECT_EQ("No such image: nope", store->find("nope").error().message);
}

TEST_F(Store, SavedAndLoadedAgainEveryDigestIsTheSame) {
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "app"), R"(["x:1"])")));
  const auto id = store->find("x:1")->id;
  const auto before = blobs();
  const auto tar = save({"x:1"});
  ASSERT_TRUE(tar) << tar.error().message;
  EXPECT_THAT(save({"y"}).error().message, HasSubstr("No such image: y"));
  ASSERT_TRUE(run(io, store->remove("x:1", false)));
  EXPECT_EQ("", blobs());
  for (const auto& bytes : {*tar, gzipped(*tar), zstd_packed(*tar), *tar}) {
    const auto loaded = load(bytes);
    ASSERT_TRUE(loaded) << loaded.error().message;
    EXPECT_EQ("Loaded image: x:1\n", said);
    EXPECT_EQ(id, store->find("x:1")->id);
    EXPECT_EQ(before, blobs());
    EXPECT_EQ(*tar, *save({"x:1"}));
  }
  const auto by_id = save({id});
  ASSERT_TRUE(by_id);
  ASSERT_TRUE(run(io, store->remove("x:1", false)));
  ASSERT_TRUE(load(*by_id));
  EXPECT_EQ("Loaded image ID: " + id + "\n", said);
}

TEST_F(Store, ImportTakesChanges) {
  Storage::ImportOptions options;
  options.tag = *parse_reference("imported", true);
  options.changes = {"CMD [\"sh\"]", "ENV A=b"};
  const auto image = run(io, store->import(fed(gzipped(kBase)), options));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_THAT(image->repo_tags, ElementsAre("imported:latest"));
  EXPECT_THAT(image->config.cmd, ElementsAre("sh"));
  EXPECT_EQ("Imported from -", image->comment);
  EXPECT_EQ("root:x:0:0", *run(io, store->read_image_file(image->id, "etc/passwd", 100)));
  options.changes = {"FROM x"};
  EXPECT_FALSE(run(io, store->import(fed(kBase), options)));
  options.changes = {};
  EXPECT_FALSE(run(io, store->import(fed("this is no tar"), options)));
  EXPECT_EQ(1U, store->images().size());
}

TEST_F(Store, TagsMoveAndTheLastOneTakesTheImageWithIt) {
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])")));
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "b"), R"(["y:1"])")));
  const auto a = store->find("x:1")->id;
  const auto b = store->find("y:1")->id;
  ASSERT_TRUE(run(io, store->tag(b, *parse_reference("x:1", true))));
  ASSERT_TRUE(run(io, store->tag(b, *parse_reference("z", true))));
  EXPECT_EQ(b, store->find("x:1")->id);
  EXPECT_THAT(store->find(a)->repo_tags, IsEmpty());
  reopen();
  EXPECT_THAT(store->find(b)->repo_tags, ElementsAre("x:1", "y:1", "z:latest"));

  auto removed = run(io, store->remove("x:1", false));
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_THAT(removed->untagged, ElementsAre("x:1"));
  EXPECT_THAT(removed->deleted, IsEmpty());
  EXPECT_EQ(Errc::conflict, run(io, store->remove(b, false)).error().code);
  removed = run(io, store->remove(b.substr(7, 12), true));
  ASSERT_TRUE(removed);
  EXPECT_THAT(removed->untagged, ElementsAre("y:1", "z:latest"));
  EXPECT_THAT(removed->deleted, ElementsAre(b));  // the layers are a's too
  removed = run(io, store->remove(a, false));
  ASSERT_TRUE(removed);
  EXPECT_THAT(removed->deleted, SizeIs(3));
  EXPECT_THAT(store->images(), IsEmpty());
  EXPECT_EQ("", blobs());
  EXPECT_EQ("", names(scratch / "store/layers"));
}

TEST_F(Store, AWritableLayerKeepsTheLayersBelow) {
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])")));
  const auto id = store->find("x:1")->id;
  const auto made = run(io, store->create_layer("c1", id));
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(id, *store->image_of_layer("c1"));
  ASSERT_TRUE(store->mount_plan("c1"));
  const auto removed = run(io, store->remove("x:1", true));
  ASSERT_TRUE(removed);
  EXPECT_THAT(removed->deleted, ElementsAre(id));
  EXPECT_NE("", names(scratch / "store/layers"));
  reopen();
  EXPECT_NE("", names(scratch / "store/layers"));
  ASSERT_TRUE(run(io, store->remove_layer("c1")));
  EXPECT_EQ("", names(scratch / "store/layers"));
  EXPECT_FALSE(run(io, store->create_layer("c2", id)));
}

TEST_F(Store, ADamagedImageCostsItselfAndNothingElse) {
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])")));
  const auto archive = docker_archive(config_of({kBase, kTop}, "b"), R"(["y:1"])");
  ASSERT_TRUE(load(archive));
  const auto path = scratch / ("store/images/" + hex_of(store->find("y:1")->id));
  close();
  put(path + "/image.json", "{\"id\":");
  open();
  ASSERT_EQ(1U, store->damaged().size());
  EXPECT_EQ(path, store->damaged()[0].path);
  EXPECT_TRUE(store->find("x:1"));
  EXPECT_FALSE(store->find("y:1"));
  // While one is damaged nothing is swept that it may need.
  ASSERT_TRUE(run(io, store->remove("x:1", false)));
  EXPECT_NE("", names(scratch / "store/layers"));
  ASSERT_TRUE(load(archive));
  reopen();
  EXPECT_THAT(store->damaged(), IsEmpty());
  EXPECT_TRUE(store->find("y:1"));
}

TEST_F(Store, OneDaemonAStore) {
  Config config;
  config.root = scratch / "store";
  config.driver = "copy";
  const auto second = Storage::open(io, workers, config);
  ASSERT_FALSE(second);
  EXPECT_EQ(Errc::conflict, second.error().code);
}

TEST_F(Store, RefusesArchivesWithoutImages) {
  EXPECT_THAT(load(kBase).error().message, HasSubstr("neither manifest.json nor index.json"));
  EXPECT_FALSE(load("no archive"));
  EXPECT_FALSE(load(docker_archive(config_of({kTop, kBase}, "a"), R"(["x:1"])")));
  auto cut = docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])");
  cut.resize(2000);
  EXPECT_FALSE(load(cut));
  EXPECT_THAT(store->images(), IsEmpty());
  reopen();
  EXPECT_EQ("", blobs());
  EXPECT_EQ("", names(scratch / "store/layers"));
  EXPECT_EQ("", names(scratch / "store/tmp"));
}

// ---- kills: a child of this program loads or removes with a fail point set, and dies there

const char* const kPoints[] = {"ingest.blob",    "ingest.rename", "ingest.rename@2",
                               "layer.unpacked", "layer.rename",  "layer.rename@2",
                               "image.write",    "image.rename"};

class KilledStore : public Store {
 protected:
  void SetUp() override {}
  int child(const std::string& test, const std::string& fail) {
    SpawnOptions spawning;
    spawning.program = "/proc/self/exe";
    spawning.argv = {"storage_test", "--gtest_also_run_disabled_tests", "--gtest_filter=" + test,
                     "--gtest_brief=1"};
    spawning.inherit_env = false;
    spawning.env = {"CORACLE_FAIL=" + fail, "STORE=" + scratch.path()};
    const auto process = spawn(spawning);
    EXPECT_TRUE(process);
    return process->wait()->code;
  }
};

// Not a test: what the children run.
class Child : public Store {
 protected:
  void SetUp() override {
    ignore_sigpipe();
    if (std::getenv("STORE") == nullptr) GTEST_SKIP() << "run by the tests of kills only";
    Config config;
    config.root = std::string(std::getenv("STORE")) + "/store";
    config.driver = "copy";
    config.one_id = !has_id_range();
    auto opened = Storage::open(io, workers, config);
    ASSERT_TRUE(opened) << opened.error().message;
    store = *std::move(opened);
  }
};
TEST_F(Child, DISABLED_Loads) {
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])")));
}
TEST_F(Child, DISABLED_Removes) { ASSERT_TRUE(run(io, store->remove("x:1", false))); }

TEST_F(KilledStore, AtAnyStepOfLoadTheNextLoadWorks) {
  const auto config = config_of({kBase, kTop}, "a");
  for (const std::string point : kPoints) {
    const auto at = point.find('@');
    const std::string fail =
        point.substr(0, at) + ":kill" + (at == std::string::npos ? "" : point.substr(at));
    ASSERT_EQ(137, child("Child.DISABLED_Loads", fail)) << point;
    open();
    EXPECT_THAT(store->damaged(), IsEmpty()) << point;
    // All or nothing: image.rename comes after the image is there.
    EXPECT_EQ(point == "image.rename" ? 1U : 0U, store->images().size()) << point;
    const auto loaded = load(docker_archive(config, R"(["x:1"])"));
    ASSERT_TRUE(loaded) << point << loaded.error().message;
    EXPECT_EQ(sha256_of(config), store->find("x:1")->id);
    EXPECT_EQ("root:x:0:0", *run(io, store->read_image_file(sha256_of(config), "/pw", 100)));
    ASSERT_TRUE(run(io, store->remove("x:1", false)));
    reopen();
    close();
    for (const char* dir : {"store/blobs/sha256", "store/layers", "store/images", "store/tmp"})
      EXPECT_EQ("", names(scratch / dir)) << point << dir;
  }
}

TEST_F(KilledStore, AtRemovalTheImageIsThereOrGone) {
  open();
  ASSERT_TRUE(load(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])")));
  close();
  ASSERT_EQ(137, child("Child.DISABLED_Removes", "image.remove:kill"));
  open();
  EXPECT_TRUE(store->find("x:1"));
  EXPECT_TRUE(run(io, store->remove("x:1", false)));
}

}  // namespace
}  // namespace coracle::storage
