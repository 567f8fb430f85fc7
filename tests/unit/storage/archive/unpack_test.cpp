#include "storage/archive/unpack.hpp"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/path.hpp"
#include "storage/content/byte_source.hpp"
#include "storage/content/free_space.hpp"
#include "tests/unit/storage/in_user_namespace.hpp"
#include "tests/unit/storage/scratch.hpp"
#include "tests/unit/storage/tar.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

class Unpack : public testing::Test {
 protected:
  void SetUp() override {
    mkdirs(scratch / "root");
    put(scratch / "outside", "safe");
  }
  Result<Unpacked> unpack_tar(const std::string& tar, bool one_id = true) {
    TRY(const auto root, open_dir(scratch / "root"));
    TextSource source(tar);
    return unpack(source, root, {.one_id = one_id});
  }
  std::string at(const std::string& name) { return scratch / ("root/" + name); }
  struct stat look(const std::string& name) {
    struct stat st {};
    EXPECT_EQ(0, ::lstat(at(name).c_str(), &st)) << name;
    return st;
  }
  bool opaque(const std::string& name) {
    char value = 0;
    return ::getxattr(at(name).c_str(), "user.overlay.opaque", &value, 1) == 1 && value == 'y';
  }
  bool whiteout(const std::string& name) {
    const auto st = look(name);
    return S_ISCHR(st.st_mode) && st.st_rdev == 0;
  }
  Scratch scratch;
};

TEST_F(Unpack, KeepsContentModesTimesAndLinks) {
  Tar::Meta suid;
  suid.mode = 04755;
  const auto done = unpack_tar(Tar()
                                   .dir("./")
                                   .dir("d", 0555)
                                   .file("d/f", "hello", suid)
                                   .hardlink("d/g", "d/f")
                                   .symlink("d/l", "/d/f")
                                   .entry("fifo", '6')
                                   .done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(9, done->bytes);
  EXPECT_EQ("hello", get(at("d/g")));
  EXPECT_EQ(04755U, look("d/f").st_mode & 07777);
  EXPECT_EQ(1'000'000'000, look("d/f").st_mtime);
  EXPECT_EQ(1'000'000'000, look("d").st_mtime);
  EXPECT_EQ(0555U, look("d").st_mode & 07777);
  EXPECT_EQ(look("d/f").st_ino, look("d/g").st_ino);
  EXPECT_TRUE(S_ISLNK(look("d/l").st_mode));
  EXPECT_TRUE(S_ISFIFO(look("fifo").st_mode));
}

TEST_F(Unpack, WhiteoutsBecomeOverlaysOwn) {
  const auto done = unpack_tar(Tar()
                                   .file("a/.wh.gone", "")
                                   .dir("b")
                                   .file("b/.wh..wh..opq", "")
                                   .file("b/new", "1")
                                   .file(".wh.c", "")  // hidden, then there again: begins anew
                                   .dir("c")
                                   .file(".wh.e", "")
                                   .file("e/f", "implicit parent")
                                   .dir("g")
                                   .file(".wh.g", "")  // after its own entry: the entry stays
                                   .file(".wh..wh.plnk/x", "aufs")
                                   .done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_TRUE(whiteout("a/gone"));
  EXPECT_TRUE(opaque("b"));
  EXPECT_FALSE(opaque("a"));
  EXPECT_TRUE(opaque("c"));
  EXPECT_TRUE(opaque("e"));
  EXPECT_TRUE(opaque("g"));
  EXPECT_EQ("implicit parent", get(at("e/f")));
}

TEST_F(Unpack, LaterEntriesReplaceEarlierOnes) {
  const auto done = unpack_tar(Tar()
                                   .file("x", "old")
                                   .dir("d")
                                   .file("d/in", "1")
                                   .file("x", "new")
                                   .file("d", "a file now")
                                   .symlink("x2", "x")
                                   .dir("x2")
                                   .done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ("new", get(at("x")));
  EXPECT_EQ("a file now", get(at("d")));
  EXPECT_TRUE(S_ISDIR(look("x2").st_mode));
}

TEST_F(Unpack, NothingLeavesTheRoot) {
  const std::string out = scratch / "outside";
  EXPECT_FALSE(unpack_tar(Tar().file("../outside", "evil").done()));
  EXPECT_FALSE(unpack_tar(Tar().file("a/../../outside", "evil").done()));
  // Absolute names and links mean the layer's root.
  EXPECT_TRUE(unpack_tar(Tar().file("/abs", "in").done()));
  EXPECT_EQ("in", get(at("abs")));
  static_cast<void>(unpack_tar(Tar().symlink("up", "../..").file("up/outside", "evil").done()));
  static_cast<void>(
      unpack_tar(Tar().symlink("abs2", scratch.path()).file("abs2/outside", "evil").done()));
  static_cast<void>(unpack_tar(Tar().symlink("f", out).file("f", "evil").done()));
  EXPECT_FALSE(unpack_tar(Tar().hardlink("h", "../outside").done()));
  static_cast<void>(unpack_tar(Tar().symlink("s", "..").hardlink("h", "s/outside").done()));
  EXPECT_EQ("safe", get(out));
  struct stat st {};
  ASSERT_EQ(0, ::stat(out.c_str(), &st));
  EXPECT_EQ(1U, st.st_nlink);
  // A directory that became a link keeps its mode and time away from the link's target.
  static_cast<void>(unpack_tar(Tar().dir("dd", 0777).symlink("dd", scratch.path()).done()));
  ASSERT_EQ(0, ::stat(scratch.path().c_str(), &st));
  EXPECT_EQ(0700U, st.st_mode & 07777);
}

TEST_F(Unpack, KeepsUserXattrsAndDropsThoseThatSteerOverlay) {
  Tar::Meta meta;
  meta.pax = {{"SCHILY.xattr.user.mine", "v"},
              {"SCHILY.xattr.user.overlay.redirect", "/etc"},
              {"SCHILY.xattr.trusted.x", "v"}};
  const auto done = unpack_tar(Tar().file("f", "", meta).done());
  ASSERT_TRUE(done) << done.error().message;
  char list[256];
  const auto n = ::listxattr(at("f").c_str(), list, sizeof list);
  EXPECT_EQ(std::string("user.mine\0", 10), std::string(list, static_cast<std::size_t>(n)));
}

TEST_F(Unpack, LongUtf8NamesOfPaxHeadersArrive) {
  Tar::Meta meta;
  const std::string name = "dir/" + std::string(150, 'n') + "-\u00e4\u4e16.txt";
  meta.pax = {{"path", name}};
  const auto done = unpack_tar(Tar().file("short", "x", meta).done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ("x", get(at(name)));
}

TEST_F(Unpack, DeviceNodesAreLeftOut) {
  ASSERT_TRUE(unpack_tar(Tar().entry("null", '3').entry("disk", '4').file("f", "1").done()));
  EXPECT_EQ("f", names(scratch / "root"));
}

TEST_F(Unpack, OwnersAreKept) {
  NEEDS_NAMESPACE();
  if (!has_id_range()) GTEST_SKIP() << "no id range";
  Tar::Meta meta;
  meta.uid = 33;
  meta.gid = 34;
  meta.mode = 06755;
  auto done = unpack_tar(Tar().file("f", "", meta).done(), false);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(33U, look("f").st_uid);
  EXPECT_EQ(34U, look("f").st_gid);
  EXPECT_EQ(06755U, look("f").st_mode & 07777);
  meta.uid = 1'000'000;
  done = unpack_tar(Tar().file("g", "", meta).done(), false);
  ASSERT_FALSE(done);
  EXPECT_NE(std::string::npos, done.error().message.find("1000000:34")) << done.error().message;
  EXPECT_NE(std::string::npos, done.error().message.find("usermod --add-subuids"));
}

TEST_F(Unpack, DamagedArchivesGiveErrorsNotCrashes) {
  Tar::Meta meta;
  meta.pax = {{"path", "long"}, {"SCHILY.xattr.user.a", "b"}, {"GNU.sparse.major", "1"}};
  const std::string tar = Tar()
                              .dir("d")
                              .file("d/f", std::string(700, 'f'), meta)
                              .file("d/.wh.x", "")
                              .file(".wh..wh..opq", "")
                              .symlink("l", "d")
                              .hardlink("h", "d/f")
                              .file("l/through", "1")
                              .done();
  const std::string packed[] = {tar, gzipped(tar), zstd_packed(tar)};
  std::mt19937 random(1);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string bytes = packed[i % 3];
    for (std::size_t k = pick(8) + 1; k > 0; --k)
      bytes[pick(bytes.size())] = static_cast<char>(random());
    if (pick(4) == 0) bytes.resize(pick(bytes.size()));
    TextSource source(bytes, pick(700) + 1);
    ASSERT_TRUE(remove_tree(scratch / "root"));
    mkdirs(scratch / "root");
    const auto root = open_dir(scratch / "root");
    ASSERT_TRUE(root);
    auto plain = inflated(source, compression_of(bytes));
    ASSERT_TRUE(plain);
    if (!unpack(**plain, *root, {.one_id = true})) ++refused;
    EXPECT_EQ("safe", get(scratch / "outside"));
  }
  EXPECT_GT(refused, 500);
}

TEST_F(Unpack, SparseFilesComeWithTheirHoles) {
  Tar::Meta meta;
  meta.pax = {{"GNU.sparse.size", "1073741824"}, {"GNU.sparse.map", "1048576,3"}};
  const auto done = unpack_tar(Tar().file("big", "abc", meta).file("after", "1").done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(1'073'741'825, done->bytes);
  const auto st = look("big");
  EXPECT_EQ(1'073'741'824, st.st_size);
  EXPECT_LT(st.st_blocks, 1000);
  const UniqueFd fd(::open(at("big").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4> bytes{};
  ASSERT_EQ(3, ::pread(fd.get(), bytes.data(), 3, 1048576));
  EXPECT_STREQ("abc", bytes.data());
  EXPECT_EQ("1", get(at("after")));
}

TEST_F(Unpack, SizesThatLieAreRefused) {
  for (const auto& [key, value] : {std::pair{"GNU.sparse.realsize", "-5"},
                                   {"GNU.sparse.size", "-5"},
                                   {"GNU.sparse.size", "4611686018427387904"},
                                   {"size", "-1"}}) {
    Tar::Meta meta;
    meta.pax = {{key, value}};
    EXPECT_FALSE(unpack_tar(Tar().file("f", "", meta).done())) << key << value;
  }
  // Each of them may be, together they may not.
  Tar tar;
  for (int i = 0; i < 9; ++i) {
    Tar::Meta meta;
    meta.pax = {{"GNU.sparse.size", "8796093022208"}, {"GNU.sparse.map", "8796093022207,1"}};
    tar.file("f" + std::to_string(i), "x", meta);
  }
  EXPECT_THAT(unpack_tar(tar.done()).error().message, testing::HasSubstr("bytes"));
}

TEST_F(Unpack, WhatLinksLeadThroughIsBounded) {
  // Each of 30 links goes 800 times down and up again before it comes to the next.
  Tar tar;
  tar.dir("d");
  const auto link = [&](const std::string& path, const std::string& to) {
    tar.long_name('K', to).symlink(path, "x");
  };
  std::string updown;
  for (int i = 0; i < 800; ++i) updown += "d/../";
  link("l0", updown + "d");
  for (int i = 1; i < 30; ++i)
    link("l" + std::to_string(i), updown + "l" + std::to_string(i - 1) + "/..");
  for (int i = 0; i < 2000; ++i)
    tar.file("l29/" + std::to_string(i % 2) + "/f" + std::to_string(i), "");
  const auto done = unpack_tar(tar.done());
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, testing::HasSubstr("too many directories"));
}

TEST_F(Unpack, ParentsThatNoEntryNamesAreBounded) {
  std::string deep;
  for (int i = 0; i < 2000; ++i) deep += "d/";
  Tar tar;
  for (int i = 0; i < 100; ++i)
    tar.long_name('L', std::to_string(i) + "/" + deep + "f").file("x", "");
  const auto done = unpack_tar(tar.done());
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, testing::HasSubstr("by their files alone"));
}

TEST_F(Unpack, PathsThroughLinksWork) {
  const auto done = unpack_tar(Tar()
                                   .dir("usr")
                                   .dir("usr/lib", 0555)
                                   .symlink("lib", "usr/lib")
                                   .symlink("abs", "/usr")
                                   .symlink("up", "usr/../usr/lib/../..")
                                   .file("lib/a", "1")
                                   .file("lib/new/b", "2")
                                   .file("abs/lib/c", "3")
                                   .file("up/usr/lib/d", "4")
                                   .dir("abs/lib", 0711)
                                   .hardlink("lib/e", "abs/lib/a")
                                   .done());
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ("1", get(at("usr/lib/a")));
  EXPECT_EQ("2", get(at("usr/lib/new/b")));
  EXPECT_EQ("3", get(at("usr/lib/c")));
  EXPECT_EQ("4", get(at("usr/lib/d")));
  EXPECT_EQ(look("usr/lib/a").st_ino, look("usr/lib/e").st_ino);
  EXPECT_EQ(0711U, look("usr/lib").st_mode & 07777);  // what came last
  EXPECT_EQ(1'000'000'000, look("usr/lib").st_mtime);
  EXPECT_EQ(0755U, look("usr/lib/new").st_mode & 07777);
  EXPECT_FALSE(unpack_tar(Tar().symlink("to", "nowhere").file("to/f", "").done()));
  EXPECT_FALSE(unpack_tar(Tar().symlink("x", "y").symlink("y", "x").file("x/f", "").done()));
}

TEST_F(Unpack, DirectoriesAreDatedHoweverManyThereAre) {
  // More than are kept in memory at once.
  Tar tar;
  for (int i = 0; i < 120; ++i) {
    const std::string top = std::string(90, 'n') + std::to_string(i);
    tar.dir(top, 0750);
    std::string path = top;
    for (int k = 0; k < 20; ++k) {
      path += "/" + std::string(180, static_cast<char>('a' + k));
      tar.long_name('L', path + "/").entry("x", '5');
      for (int j = 0; j < 4; ++j)
        tar.long_name('L', path + "/" + std::to_string(j) + "/").entry("x", '5');
    }
  }
  const auto done = unpack_tar(tar.done());
  ASSERT_TRUE(done) << done.error().message;
  for (const auto& name :
       {std::string(90, 'n') + "0", std::string(90, 'n') + "0/" + std::string(180, 'a'),
        std::string(90, 'n') + "119"})
    EXPECT_EQ(1'000'000'000, look(name).st_mtime) << name;
}

TEST_F(Unpack, IdsThatAreNoneAreNoRoots) {
  NEEDS_NAMESPACE();
  if (!has_id_range()) GTEST_SKIP() << "no id range";
  for (const char* id : {"4294967295", "4294967296", "9223372036854775807"}) {
    Tar::Meta meta;
    meta.pax = {{"uid", id}};
    EXPECT_FALSE(unpack_tar(Tar().file("f", "", meta).done(), false)) << id;
  }
}

TEST_F(Unpack, EndsBeforeTheDiskIsFull) {
  NEEDS_NAMESPACE();
  ASSERT_EQ(0,
            ::mount("tmpfs", (scratch / "root").c_str(), "tmpfs", 0, "size=64m,nr_inodes=100000"));
  const auto done = [&] {
    return unpack_tar(Tar().file("f", std::string(std::size_t{100} << 20, 'x')).done());
  }();
  struct statvfs now {};
  EXPECT_EQ(0, ::statvfs((scratch / "root").c_str(), &now));
  EXPECT_EQ(0, ::umount2((scratch / "root").c_str(), MNT_DETACH));
  ASSERT_FALSE(done);
  EXPECT_EQ(ENOSPC, done.error().sys);
  EXPECT_THAT(done.error().message, testing::HasSubstr("docker system prune"));
  EXPECT_GT(now.f_bavail * now.f_frsize, (std::size_t{64} << 20) / 20 - (std::size_t{2} << 20));
}

TEST(FreeSpace, TheFloorIsATwentiethAndAtMostAGigabyte) {
  EXPECT_EQ(5, space_floor(100));
  EXPECT_EQ(1'000'000'000, space_floor(std::int64_t{1} << 50));
}

TEST(Inflate, ReadsAllMembersAndFramesInSmallPieces) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i * 7919);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
    for (const bool gzip : {true, false}) {
      const auto pack = [&](std::string_view t) { return gzip ? gzipped(t) : zstd_packed(t); };
      const std::string packed = pack("") + pack("a") + pack(text) + pack("z");
      TextSource source(packed, piece);
      const auto plain = inflated(source, compression_of(packed));
      ASSERT_TRUE(plain);
      const auto out = all_of(**plain);
      ASSERT_TRUE(out) << out.error().message;
      EXPECT_TRUE("a" + text + "z" == *out) << piece << gzip;
      for (const std::size_t cut : {packed.size() - 1, packed.size() / 2}) {
        TextSource shorter(packed.substr(0, cut), piece);
        EXPECT_FALSE(all_of(**inflated(shorter, compression_of(packed)))) << cut << gzip;
      }
    }
  }
}

TEST(Inflate, IgnoresPaddingBehindGzip) {
  TextSource source(gzipped("abc") + std::string(100, '\0'));
  EXPECT_EQ("abc", *all_of(**inflated(source, Compression::gzip)));
}

}  // namespace
}  // namespace coracle::storage
