#include "storage/storage.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "storage/content/digest.hpp"
#include "storage/images/manifest.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/tar.hpp"

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
  Result<std::vector<Image>> load(const std::string& bytes, std::optional<Platform> wanted = {}) {
    said.clear();
    ProgressSink sink = [this](const Progress& p) { said += p.stream; };
    return run(io, store->load(fed(bytes), std::move(wanted), sink));
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
  // As a container of the image sees it; "" when it is not there.
  std::string file_of(const std::string& image_id, const std::string& path) {
    const auto made = run(io, store->create_layer("reader", image_id));
    EXPECT_TRUE(made) << made.error().message;
    const auto root = open_dir(store->mount_plan("reader").value().lower.front());
    const auto file = open_in_root(*root, path, O_RDONLY);
    auto text = file ? read_all(*file, 100).value_or("") : "";
    EXPECT_TRUE(run(io, store->remove_layer("reader")));
    return text;
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
  EXPECT_THAT(image->layer_sizes, ElementsAre(11, 14));
  EXPECT_EQ(25, image->size);
  EXPECT_EQ(image->id, store->find(image->id.substr(7, 12))->id);
  EXPECT_EQ(image->id, store->find(image->id)->id);
  EXPECT_EQ("root:x:0:0", file_of(image->id, "/pw"));
  EXPECT_EQ("", file_of(image->id, "/gone"));
  EXPECT_EQ("No such image: nope:latest", store->find("nope").error().message);
}

TEST_F(Store, LoadsOnlyWhatIsOfTheWantedPlatform) {
  const auto config = config_of({kBase, kTop}, "app");
  const auto architecture = parse_config(config)->architecture;
  const auto archive = docker_archive(config, R"(["x:1"])");
  const auto none = load(archive, Platform{"linux", "riscv64", ""});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_TRUE(none->empty());
  EXPECT_EQ(said, "");
  EXPECT_TRUE(store->images().empty());
  const auto one = load(archive, Platform{"linux", architecture, ""});
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->size(), 1U);
  EXPECT_EQ(said, "Loaded image: x:1\n");
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
  ImportOptions options;
  options.tag = *parse_reference("imported", true);
  options.changes = {"CMD [\"sh\"]", "ENV A=b"};
  const auto image = run(io, store->import(fed(gzipped(kBase)), options));
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_THAT(image->repo_tags, ElementsAre("imported:latest"));
  EXPECT_THAT(image->config.cmd, ElementsAre("sh"));
  EXPECT_EQ("Imported from -", image->comment);
  EXPECT_EQ("root:x:0:0", file_of(image->id, "etc/passwd"));
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

// ---- hostile archives

using Pax = std::vector<std::pair<std::string, std::string>>;

std::string with_pax(const Pax& pax, const std::string& name, const std::string& data) {
  Tar::Meta meta;
  meta.pax = pax;
  return Tar().file(name, data, meta).done();
}

class Hostile : public Store {
 protected:
  Result<Image> import(const std::string& bytes) { return run(io, store->import(fed(bytes), {})); }
  // Both refuse it, and neither leaves anything.
  void refused(const std::string& bytes, const std::string& why) {
    EXPECT_THAT(load(bytes).error().message, HasSubstr(why));
    EXPECT_THAT(import(bytes).error().message, HasSubstr(why));
    nothing_is_left();
  }
  void nothing_is_left() {
    EXPECT_EQ("", names(scratch / "store/tmp"));
    EXPECT_EQ("", blobs());
    EXPECT_THAT(store->images(), IsEmpty());
  }
};

TEST_F(Hostile, SizesThatLieEndNothing) {
  refused(with_pax({{"GNU.sparse.realsize", "-5"}}, "manifest.json", R"([{"x":1}])"), "sparse");
  refused(with_pax({{"GNU.sparse.size", "-5"}}, "manifest.json", R"([{"x":1}])"),
          "GNU.sparse.size");
  refused(with_pax({{"GNU.sparse.size", "4611686018427387904"},
                    {"GNU.sparse.map", "0,0,4611686018427387904,0"},
                    {"GNU.sparse.numblocks", "2"}},
                   "layer.tar", ""),
          "sparse");
}

TEST_F(Hostile, ALayerOfAnArchiveIsNoSparseFile) {
  const auto tar =
      with_pax({{"GNU.sparse.size", "1099511627776"}, {"GNU.sparse.map", "0,0"}}, "layer.tar", "");
  EXPECT_THAT(load(tar).error().message, HasSubstr("sparse"));
  nothing_is_left();
  // In a file system's archive it is a file with a hole.
  const auto image = import(tar);
  ASSERT_TRUE(image) << image.error().message;
  EXPECT_EQ(std::int64_t{1} << 40, image->size);
}

TEST_F(Hostile, WhatIsDamagedMakesNoImage) {
  auto wrong_sum = Tar().file("f", "1").file("g", "2").done();
  wrong_sum[1024 + 10] = 'x';
  refused(wrong_sum, "checksum");
  refused(Tar().file("f", "1").done().insert(1024, std::string(512, '\x7f')), "checksum");
  refused(Tar().file("f", std::string(3000, 'f')).done().substr(0, 2000), "unexpected end");
  refused(with_pax({{"path", std::string("a\0b", 3)}}, "f", ""), "NUL");
  // The archive's end has come, its compressed form's has not.
  const auto packed = gzipped(docker_archive(config_of({kBase, kTop}, "a"), R"(["x:1"])"));
  EXPECT_FALSE(load(packed.substr(0, packed.size() - 4)));
  EXPECT_FALSE(import(packed.substr(0, packed.size() - 4)));
  nothing_is_left();
}

TEST_F(Hostile, IndexesThatNameOneManifestOverAndOverAreBounded) {
  const std::string manifest(100'000, ' ');
  std::string text = R"({"schemaVersion":2,"manifests":[)";
  for (int i = 0; i < 9'000; ++i)
    text += (i == 0 ? "" : ",") + std::string(R"({"digest":")") + sha256_of("{" + manifest + "}") +
            R"("})";
  const auto tar =
      Tar()
          .file("blobs/sha256/" + sha256_of("{" + manifest + "}").substr(7), "{" + manifest + "}")
          .file("index.json", text + "]}")
          .done();
  EXPECT_FALSE(load(tar));
  std::string many = "[";
  for (int i = 0; i < 20'000; ++i) many += std::string(i == 0 ? "" : ",") + R"({"Config":"c"})";
  EXPECT_THAT(load(Tar().file("c", "{}").file("manifest.json", many + "]").done()).error().message,
              HasSubstr("20000 images"));
  nothing_is_left();
}

// The client leaves while a small archive is still becoming a large layer.
TEST_F(Hostile, WorkWhoseClientHasLeftStopsAndLeavesNothing) {
  for (const bool as_import : {false, true}) {
    // 512 MiB of zeros in half a megabyte, repeated: far more than can be written meanwhile.
    std::string zeros(std::size_t{64} << 20, '\0');
    auto head = Tar().field(124, "777777777770").file(as_import ? "big" : "a/layer.tar", "").done();
    std::string bytes = gzipped(head.substr(0, 512));
    const auto part = gzipped(zeros);
    for (int i = 0; i < 120; ++i) bytes += part;
    asio::cancellation_signal leave;
    bool over = false;
    Error error;
    auto work = [&]() -> Coro<void> {
      co_await asio::this_coro::throw_if_cancelled(false);
      if (as_import) {
        auto from = fed(bytes);
        ImportOptions options;
        const auto done = co_await store->import(std::move(from), std::move(options));
        if (!done) error = done.error();
      } else {
        auto from = fed(bytes);
        ProgressSink sink;
        std::optional<Platform> any;
        const auto done = co_await store->load(std::move(from), std::move(any), std::move(sink));
        if (!done) error = done.error();
      }
      over = true;
    };
    asio::co_spawn(io, work(), asio::bind_cancellation_slot(leave.slot(), asio::detached));
    const auto begun = std::chrono::steady_clock::now();
    auto written = [&] {
      std::uintmax_t sum = 0;
      std::error_code ec;
      for (const auto& f : std::filesystem::recursive_directory_iterator(scratch / "store/tmp", ec))
        if (f.is_regular_file(ec)) sum += f.file_size(ec);
      return sum;
    };
    io.restart();
    while (written() < (std::size_t{1} << 20) && !over) io.run_for(std::chrono::milliseconds(5));
    ASSERT_FALSE(over) << error.message;
    leave.emit(asio::cancellation_type::terminal);
    const auto left = std::chrono::steady_clock::now();
    while (!over) io.run_for(std::chrono::milliseconds(5));
    const auto took = std::chrono::steady_clock::now() - left;
    EXPECT_LT(took, std::chrono::seconds(10))
        /* a second is promised */ << "of " << (left - begun).count();
    EXPECT_THAT(error.message, HasSubstr("nobody waits"));
    nothing_is_left();
  }
}

TEST_F(Hostile, AClientThatSendsNothingDoesNotHoldAWorker) {
  auto first = make_pipe(), second = make_pipe(), third = make_pipe();
  int over = 0;
  auto stalled = [&](UniqueFd from) -> Coro<void> {
    ProgressSink sink;
    std::optional<Platform> any;
    const auto done = co_await store->load(std::move(from), std::move(any), std::move(sink));
    EXPECT_FALSE(done);
    ++over;
  };
  asio::co_spawn(io, stalled(std::move(first->read)), asio::detached);
  asio::co_spawn(io, stalled(std::move(second->read)), asio::detached);
  asio::co_spawn(io, stalled(std::move(third->read)), asio::detached);
  io.restart();
  io.run_for(std::chrono::milliseconds(50));
  // The store has three workers.
  bool free = false;
  auto job = [] { return Result<>{}; };
  auto ask = [&]() -> Coro<void> { free = (co_await workers.run(job)).has_value(); };
  asio::co_spawn(io, ask(), asio::detached);
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!free && std::chrono::steady_clock::now() < limit)
    io.run_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(free);
  first->write.reset();
  second->write.reset();
  third->write.reset();
  while (over < 3) io.run_for(std::chrono::milliseconds(5));
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
    EXPECT_EQ("root:x:0:0", file_of(sha256_of(config), "/pw"));
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
