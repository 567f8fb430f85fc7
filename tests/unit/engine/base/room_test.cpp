// What removal and a full disk need: the trash directory and its marks, the reserve.
#include "engine/base/room.hpp"

#include <sys/stat.h>

#include <atomic>
#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/tree/trash_dir.hpp"
#include "tests/unit/engine/base/scratch.hpp"

namespace coracle {
namespace {

using test::Scratch;
using testing::ElementsAre;

TEST(TrashDir, TakesWhatWasTriedBeforeUntilItHasFailedTooOften) {
  const Scratch s;
  for (const char* name : {"a", "b.try1", "c.try4", "d.try5", "e.try", "f.tryx"})
    ASSERT_TRUE(make_dirs(s / name + "/in"));
  empty_trash_dir(s.path());
  EXPECT_THAT(*list_dir(s.path()), ElementsAre("d.try5"));
  empty_trash_dir(s / "not there");
}

TEST(TrashDir, CountsATryBeforeItIsMadeAndNoneThatWasStopped) {
  EXPECT_EQ(tries_of("abc"), 0);
  EXPECT_EQ(tries_of("abc.try3"), 3);
  EXPECT_EQ(tries_of("abc.try3.try4"), 4);
  EXPECT_EQ(tries_of("abc.try-3"), 0);
  EXPECT_EQ(tries_of("abc.try3x"), 0);
  const Scratch s;
  ASSERT_TRUE(make_dirs(s / "a/in"));
  const std::atomic<bool> stop = true;
  empty_trash_dir(s.path(), &stop);
  EXPECT_THAT(*list_dir(s.path()), ElementsAre("a"));
}

TEST(Reserve, IsGivenUpForWhatFindsNoRoomAndMadeAgain) {
  const Scratch s;
  const Reserve reserve(s / "reserve");
  reserve.make();
  struct stat st {};
  ASSERT_EQ(::stat((s / "reserve").c_str(), &st), 0);
  EXPECT_EQ(st.st_size, 1 << 20);
  EXPECT_GE(st.st_blocks * 512, 1 << 20) << "its blocks are taken";
  int calls = 0;
  const auto act = [&]() -> Result<> {
    ++calls;
    if (exists(s / "reserve")) return sys_error_of(ENOSPC, "write");
    return {};
  };
  EXPECT_TRUE(reserve.with(act));
  EXPECT_EQ(calls, 2);
  EXPECT_FALSE(exists(s / "reserve"));
  EXPECT_FALSE(reserve.give_up());
  reserve.make();
  EXPECT_THAT(*list_dir(s.path()), ElementsAre("reserve"));
  const auto denied = [&]() -> Result<> { return sys_error_of(EACCES, "write"); };
  EXPECT_FALSE(reserve.with(denied));
  EXPECT_TRUE(exists(s / "reserve")) << "room would not have helped";
}

}  // namespace
}  // namespace coracle
