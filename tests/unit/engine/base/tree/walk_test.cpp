#include "engine/base/tree/walk.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/at.hpp"
#include "engine/base/tree/remove.hpp"
#include "tests/unit/engine/base/deep_tree.hpp"
#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;
using testing::ElementsAre;
using testing::HasSubstr;

UniqueFd open_top(const std::string& path) {
  return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::vector<UniqueFd> one(UniqueFd fd) {
  std::vector<UniqueFd> out;
  out.push_back(std::move(fd));
  return out;
}

// Goes everywhere in one tree and counts.
class Counter : public Visitor {
 public:
  explicit Counter(Way& way) : way_(way) {}
  Result<> list(Piece& piece) override {
    ++lists;
    if (way_.dir(0) == nullptr) return {};
    return read_dir(*way_.dir(0), [&](auto name, auto type) { piece.add(name, type); });
  }
  Result<bool> entry(const DirEntry& e) override {
    ++entries;
    deepest = std::max(deepest, way_.depth());
    if (told.size() < 100) told.push_back(e.name);
    if (on_entry) on_entry(e);
    const UniqueFd* here = way_.dir(0);
    if (here == nullptr) return false;
    UniqueFd below = at::open_dir(*here, e.name);
    if (!below) return false;
    CHECK(way_.down(e.name, one(std::move(below))));
    return true;
  }
  Result<> leave() override {
    ++left;
    return {};
  }
  std::function<void(const DirEntry&)> on_entry;
  std::size_t lists = 0, entries = 0, left = 0, deepest = 0;
  std::vector<std::string> told;

 private:
  Way& way_;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& e : std::filesystem::directory_iterator("/proc/self/fd"))
    ++count;
  return count;
}

TEST(At, TakesASingleNameAndNothingElse) {
  const Scratch s;
  const auto top = open_top(s.path());
  for (const char* name : {"", ".", "..", "a/b", "/", "a/", "/etc"}) {
    errno = 0;
    EXPECT_FALSE(at::open(top, name, O_RDONLY)) << name;
    EXPECT_EQ(errno, EINVAL) << name;
    errno = 0;
    EXPECT_EQ(at::make_dir(top, name, 0700), -1) << name;
    EXPECT_EQ(errno, EINVAL) << name;
    EXPECT_EQ(at::hard_link(top, "x", top, name), -1) << name;
    EXPECT_EQ(at::hard_link(top, name, top, "x"), -1) << name;
  }
  EXPECT_EQ(at::make_dir(top, std::string("a\0b", 3), 0700), -1);
  EXPECT_EQ(at::make_dir(top, "...", 0700), 0);
  EXPECT_EQ(at::make_dir(top, ".a", 0700), 0);
}

TEST(Walk, TellsParentsFirstAndNamesInOrder) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "b/y/z"));
  ASSERT_TRUE(make_dirs(s / "a/x"));
  ASSERT_TRUE(write_file_atomic(s / "c", "", 0600, Durability::unsynced));
  Way way(one(open_top(s.path())));
  Counter counter(way);
  ASSERT_TRUE(walk(way, counter));
  EXPECT_THAT(counter.told, ElementsAre("a", "x", "b", "y", "z", "c"));
  EXPECT_EQ(counter.left, 6U);
  EXPECT_EQ(way.depth(), 0U);
}

struct Measured {
  std::size_t entries = 0, deepest = 0, descriptors = 0;
  long kib = 0;
  Result<> done;
};

// On a thread with a small stack; descriptors beyond those that were open before.
Measured measure(const std::string& top) {
  Measured m;
  test::with_small_stack([&] {
    const long before_kib = (test::forget_peak(), test::peak_kib());
    const auto before = open_descriptors();
    Way way(one(open_top(top)));
    Counter counter(way);
    counter.on_entry = [&](const DirEntry&) {
      if (counter.entries % 1000 == 0)
        m.descriptors = std::max(m.descriptors, open_descriptors() - before);
    };
    m.done = walk(way, counter);
    m.entries = counter.entries;
    m.deepest = counter.deepest;
    m.kib = test::peak_kib() - before_kib;
  });
  return m;
}

TEST(Walk, OfAnyDepthTakesFewDescriptorsLittleMemoryAndASmallStack) {
  constexpr int kDepth = 100'000;
  for (const auto& name : {std::string("d"), std::string(255, 'n')}) {
    const test::MemoryScratch s;
    ASSERT_TRUE(test::make_deep(s.path(), name, kDepth));
    const auto m = measure(s.path());
    ASSERT_TRUE(m.done) << m.done.error().message;
    EXPECT_EQ(m.entries, std::size_t{kDepth} + 1);
    EXPECT_EQ(m.deepest, std::size_t{kDepth});
    EXPECT_LE(m.descriptors, 64U);
    EXPECT_LT(m.kib, 64 << 10);
    test::with_small_stack([&] {
      test::forget_peak();
      const long before = test::peak_kib();
      const auto done = remove_in(open_top(s.path()), name);
      EXPECT_TRUE(done) << done.error().message;
      EXPECT_LT(test::peak_kib() - before, 4 << 10);
    });
    EXPECT_THAT(*list_dir(s.path()), ElementsAre());
  }
}

TEST(Walk, NeedsNoMoreThanALowLimitOfDescriptors) {
  const Scratch s;
  ASSERT_TRUE(test::make_deep(s.path(), "d", 2000));
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
  rlimit low = old;
  low.rlim_cur = open_descriptors() + 64;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  Way way(one(open_top(s.path())));
  Counter counter(way);
  const auto walked = walk(way, counter);
  const auto removed = remove_tree(s / "d");
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
  ASSERT_TRUE(walked) << walked.error().message;
  EXPECT_EQ(counter.deepest, 2000U);
  ASSERT_TRUE(removed) << removed.error().message;
}

// Names that nobody has to make: each of the first levels has `width` of them.
class Invented : public Visitor {
 public:
  Invented(Way& way, std::size_t levels, int width) : way_(way), levels_(levels), width_(width) {}
  Result<> list(Piece& piece) override {
    ++lists;
    if (way_.depth() >= levels_) return {};
    for (int i = width_; i-- > 0;) piece.add(name(i), 0);
    return {};
  }
  Result<bool> entry(const DirEntry& e) override {
    ++entries;
    // One directory in the middle of each level; its siblings come before and behind it.
    if (e.name != name(width_ / 2)) return false;
    CHECK(way_.down(e.name, {}));
    return true;
  }
  static std::string name(int i) { return fmt::format("{:0>250}", i); }
  std::size_t lists = 0, entries = 0;

 private:
  Way& way_;
  std::size_t levels_;
  int width_;
};

TEST(Walk, HoldsAPieceOfAWideDirectoryAtATime) {
  Way way({});
  Invented visitor(way, 1, 80'000);  // 25 MB of names
  test::forget_peak();
  const long before = test::peak_kib();
  ASSERT_TRUE(walk(way, visitor));
  EXPECT_EQ(visitor.entries, 80'000U);
  EXPECT_GT(visitor.lists, 3U);
  EXPECT_LT(test::peak_kib() - before, 20 << 10);
}

TEST(Walk, ForgetsNamesOfLevelsAboveAndReadsThemAgain) {
  Way way({});
  Invented visitor(way, 12, 10'000);  // 37 MB of names
  test::forget_peak();
  const long before = test::peak_kib();
  ASSERT_TRUE(walk(way, visitor));
  EXPECT_EQ(visitor.entries, 120'000U) << "each name once";
  EXPECT_GT(visitor.lists, 13U) << "once a level, if none had been forgotten";
  EXPECT_LT(test::peak_kib() - before, 28 << 10);
}

TEST(Walk, EndsWhenNobodyWaitsForIt) {
  const Scratch s;
  ASSERT_TRUE(test::make_deep(s.path(), "d", 100));
  Way way(one(open_top(s.path())));
  Counter counter(way);
  std::atomic<bool> stop = false;
  counter.on_entry = [&](const DirEntry&) { stop = counter.entries == 10; };
  const auto done = walk(way, counter, &stop);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().sys, ECANCELED);
  EXPECT_EQ(counter.entries, 10U);
  stop = true;
  EXPECT_EQ(remove_in(open_top(s.path()), "d", &stop).error().sys, ECANCELED);
  EXPECT_TRUE(remove_in(open_top(s.path()), "d"));
}

// What a container does while its layer is walked: a directory goes elsewhere, and ".." of it leads
// to another one.
TEST(Walk, IsNotLedAwayByADirectoryThatMoves) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "tree/side"));
  ASSERT_TRUE(make_dirs(s / "outside/secret"));
  ASSERT_TRUE(test::make_deep(s / "tree", "d", 200));
  std::string moved = s / "tree";
  for (int i = 0; i < 50; ++i) moved += "/d";
  Way way(one(open_top(s / "tree")));
  Counter counter(way);
  counter.on_entry = [&](const DirEntry& e) {
    EXPECT_NE(e.name, "secret");
    if (way.depth() != 150) return;
    ASSERT_EQ(::rename(moved.c_str(), (s / "outside/here").c_str()), 0);
  };
  const auto done = walk(way, counter);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(counter.deepest, 200U);
  EXPECT_EQ(counter.told.back(), "d");
  EXPECT_EQ(counter.entries, 202U) << "200 d, end, side";
  EXPECT_EQ(way.depth(), 0U);
}

TEST(Walk, ThatIsStrictLosesADirectoryThatWasExchanged) {
  const Scratch s;
  ASSERT_TRUE(test::make_deep(s.path(), "d", 100));
  Way way(one(open_top(s.path())), 1);
  const auto down = [&] { return way.down("d", one(at::open_dir(*way.dir(0), "d"))); };
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(down());
  ASSERT_EQ(::rename((s / "d/d/d").c_str(), (s / "away").c_str()), 0);
  ASSERT_TRUE(make_dirs(s / "d/d/d"));
  for (int i = 0; i < 97; ++i) way.up();
  EXPECT_EQ(way.dir(0) != nullptr, true) << "its own directory, wherever it is";
  way.up();
  EXPECT_NE(way.dir(0), nullptr);
}

TEST(Walk, ShowsAPathWithoutItsMiddle) {
  Way way({});
  ASSERT_TRUE(way.down("etc", {}));
  EXPECT_EQ(way.shown("passwd"), "etc/passwd");
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(way.down("d", {}));
  EXPECT_LT(way.shown("x").size(), 250U);
  EXPECT_THAT(way.shown("x"), HasSubstr("…"));
  EXPECT_TRUE(way.shown("x").starts_with("etc/d/"));
  EXPECT_TRUE(way.shown("x").ends_with("/d/x"));
}

TEST(Remove, FollowsNoLinkThatStandsForADirectoryWithoutPermission) {
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "keep"));
  ASSERT_EQ(::chmod((s / "keep").c_str(), 0500), 0);
  ASSERT_TRUE(make_dirs(s / "tree/a"));
  ASSERT_EQ(::symlink((s / "keep").c_str(), (s / "tree/a/link").c_str()), 0);
  ASSERT_EQ(::chmod((s / "tree/a").c_str(), 0), 0);
  ASSERT_TRUE(remove_tree(s / "tree"));
  struct stat st {};
  ASSERT_EQ(::stat((s / "keep").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0500U);
}

TEST(Remove, TakesABushOfDeepDirectories) {
  const Scratch s;
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(make_dirs(s / "tree/a/b" + std::to_string(i)));
    ASSERT_TRUE(test::make_deep(s / "tree/a/b" + std::to_string(i), "d", 120));
  }
  ASSERT_TRUE(make_dirs(s / "tree/.deep-0/.deep-1"));
  ASSERT_TRUE(write_file_atomic(s / "tree/.deep-2", "x"));
  const auto done = remove_tree(s / "tree");
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_FALSE(exists(s / "tree"));
}

TEST(Remove, LeavesAFileThatItMayNotTouchAndSaysWhich) {
  EXPECT_THAT(remove_tree("/proc/self/maps").error().message, HasSubstr("maps"));
}

}  // namespace
}  // namespace coracle
