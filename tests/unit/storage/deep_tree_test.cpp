// Trees of a hostile container, 100,000 levels deep, through everything that walks one.
#include "tests/unit/engine/base/deep_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "storage/files.hpp"
#include "storage/snapshots/copy_tree.hpp"
#include "storage/snapshots/diff.hpp"
#include "storage/snapshots/merged_tree.hpp"
#include "storage/snapshots/tar_tree.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"

namespace coracle::storage {
namespace {

constexpr int kDepth = 100'000;
constexpr long kMostKib = 64 << 10;

class DeepTree : public testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    NEEDS_NAMESPACE();
    for (const char* dir : {"image", "upper", "copy"})
      ASSERT_EQ(0, ::mkdir((scratch / dir).c_str(), 0755)) << dir;
    ASSERT_TRUE(test::make_deep(scratch / "upper", name, kDepth));
    source.lower = {scratch / "image"};
    source.upper = scratch / "upper";
  }
  // A step that has the memory and the stack of a walk.
  template <class F>
  void step(const char* what, F function) {
    test::with_small_stack([&] {
      test::forget_peak();
      const long before = test::peak_kib();
      function();
      EXPECT_LT(test::peak_kib() - before, kMostKib) << what;
    });
  }
  template <class T>
  void expect_too_long(const Result<T>& result, const char* what) {
    ASSERT_FALSE(result) << what;
    EXPECT_EQ(result.error().sys, ENAMETOOLONG) << what << ": " << result.error().message;
    EXPECT_LT(result.error().message.size(), 1000U) << what;
  }

  test::MemoryScratch scratch;
  std::string name = std::string(GetParam(), 'n');
  DiffSource source;
};

TEST_P(DeepTree, IsWalkedByAllThatWalks) {
  step("usage", [&] {
    const auto usage = usage_of(source);
    ASSERT_TRUE(usage) << usage.error().message;
    EXPECT_EQ(usage->entries, kDepth + 1);
    EXPECT_EQ(usage->bytes, 4);
  });
  step("diff", [&] { expect_too_long(changes_of(source), "diff"); });
  step("commit", [&] {
    expect_too_long(write_diff(source, [](std::string_view) { return Result<>{}; }), "commit");
  });
  const UniqueFd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  step("export", [&] {
    const auto merged = open_merged({source.upper, source.lower.front()});
    ASSERT_TRUE(merged);
    expect_too_long(write_merged(*merged, false, [](std::string_view) { return Result<>{}; }),
                    "export");
  });
  step("cp", [&] {
    const auto root = open_dir(source.upper);
    ASSERT_TRUE(root);
    expect_too_long(write_tree(*root, "/" + name, "x", null, kNeverStopped), "cp");
  });
  step("fill", [&] {
    const auto merged = open_merged({source.upper});
    ASSERT_TRUE(merged);
    const auto copied = copy_tree(*merged, scratch / "copy");
    ASSERT_TRUE(copied) << copied.error().message;
  });
  EXPECT_EQ(test::depth_of(scratch / "copy", name), kDepth);
}

INSTANTIATE_TEST_SUITE_P(NamesOf, DeepTree, testing::Values(1, 255));

// Directories that nothing was told of yet, further up than the walk keeps open.
TEST(DeepDiff, TellsTheDirectoriesOnTheWay) {
  NEEDS_NAMESPACE();
  const test::MemoryScratch s;
  DiffSource source;
  for (const char* dir : {"image", "image2", "upper"}) {
    ASSERT_EQ(0, ::mkdir((s / dir).c_str(), 0755));
    ASSERT_TRUE(test::make_deep(s / dir, "d", 200));
  }
  // The same times on all levels: only the file at the end is another.
  const std::array<timespec, 2> then{timespec{100, 0}, timespec{100, 0}};
  for (const char* dir : {"image", "image2", "upper"}) {
    std::string at = s / dir;
    for (int i = 0; i <= 200; ++i, at += "/d")
      ASSERT_EQ(0, ::utimensat(AT_FDCWD, at.c_str(), then.data(), 0));
  }
  source.lower = {s / "image2", s / "image"};
  source.upper = s / "upper";
  std::size_t directories = 0;
  const auto done = walk_diff(source, false, [&](const DiffEntry& e) -> Result<> {
    struct stat st {};
    EXPECT_EQ(0, ::fstatat(e.parent->get(), e.name.c_str(), &st, AT_SYMLINK_NOFOLLOW)) << e.path;
    EXPECT_EQ(st.st_ino, e.st.st_ino) << e.path;
    if (S_ISDIR(e.st.st_mode)) ++directories;
    return {};
  });
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(directories, 200U);
}

}  // namespace
}  // namespace coracle::storage
