#include "storage/archive/tar_reader.hpp"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/storage/tar.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct Seen {
  std::vector<ArchiveEntry> entries;
  std::vector<std::string> data;  // holes as dots
};

Result<Seen> read_tar(const std::string& bytes, std::size_t piece = 4096) {
  TextSource source(bytes, piece);
  TarReader reader(source);
  Seen out;
  for (;;) {
    TRY(const auto* entry, reader.next());
    if (entry == nullptr) return out;
    out.entries.push_back(*entry);
    std::string text(static_cast<std::size_t>(std::min<std::int64_t>(entry->size, 1 << 20)), '.');
    CHECK(reader.data([&](std::string_view part, std::int64_t offset) -> Result<> {
      text.replace(static_cast<std::size_t>(offset), part.size(), part);
      return {};
    }));
    out.data.push_back(text);
  }
}

std::string error_of(const std::string& bytes) {
  const auto seen = read_tar(bytes);
  return seen ? "" : seen.error().message;
}

Tar::Meta pax(std::vector<std::pair<std::string, std::string>> records) {
  Tar::Meta meta;
  meta.pax = std::move(records);
  return meta;
}

TEST(TarReader, GivesEveryEntryWhateverThePieces) {
  Tar::Meta meta = pax({{"path", "long/\u00e4"},
                        {"mtime", "-1.25"},
                        {"uid", "70000"},
                        {"SCHILY.xattr.user.a", std::string("v\0w", 3)}});
  const auto tar = Tar()
                       .dir("d")
                       .file("d/f", std::string(1000, 'x'), meta)
                       .hardlink("h", "d/f")
                       .symlink("s", "/d")
                       .entry("p", '6')
                       .file("empty", "")
                       .done();
  for (const std::size_t piece : {std::size_t{1}, std::size_t{511}, std::size_t{100'000}}) {
    const auto seen = read_tar(tar, piece);
    ASSERT_TRUE(seen) << seen.error().message;
    ASSERT_THAT(seen->entries, SizeIs(6));
    const auto& f = seen->entries[1];
    EXPECT_EQ("long/\u00e4", f.path);
    EXPECT_EQ(70000, f.uid);
    EXPECT_EQ(-2, f.mtime.tv_sec);
    EXPECT_EQ(750'000'000, f.mtime.tv_nsec);
    ASSERT_THAT(f.xattrs, SizeIs(1));
    EXPECT_EQ(std::string("v\0w", 3), f.xattrs[0].value);
    EXPECT_EQ(std::string(1000, 'x'), seen->data[1]);
    EXPECT_EQ(mode_t{S_IFDIR}, seen->entries[0].type);
    EXPECT_EQ("d/f", seen->entries[2].hardlink);
    EXPECT_EQ("/d", seen->entries[3].symlink);
    EXPECT_EQ(mode_t{S_IFIFO}, seen->entries[4].type);
  }
}

TEST(TarReader, LongNamesOfGnuCount) {
  const std::string name(300, 'n'), link(200, 'l');
  const auto seen = read_tar(Tar()
                                 .long_name('L', name)
                                 .long_name('K', link)
                                 .symlink("short", "x")
                                 .file("after", "")
                                 .done());
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(name, seen->entries[0].path);
  EXPECT_EQ(link, seen->entries[0].symlink);
  EXPECT_EQ("after", seen->entries[1].path);
}

TEST(TarReader, TheEndMayBeShortOrPadded) {
  const auto tar = Tar().file("f", "1").done();
  for (const auto& end : {tar.substr(0, 1024), tar.substr(0, 1536), tar.substr(0, 1700),
                          tar + std::string(9000, '\0'), tar + "what is behind the end"}) {
    const auto seen = read_tar(end);
    ASSERT_TRUE(seen) << end.size() << seen.error().message;
    EXPECT_THAT(seen->data, ElementsAre("1"));
  }
  EXPECT_TRUE(read_tar(""));
}

TEST(TarReader, WhatIsDamagedIsAnErrorAndNoEarlyEnd) {
  const auto tar = Tar().file("a", std::string(600, 'a')).file("b", "2").done();
  // Every byte of the second header that is changed is noticed, and every cut within an entry.
  for (std::size_t i = 1536; i < 2048; ++i) {
    if (i == 1536 + 155) continue;  // behind the sum itself
    auto bytes = tar;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x15);
    EXPECT_NE("", error_of(bytes)) << i;
  }
  for (std::size_t size = 1; size < 2560; size += 7) {
    const bool between_entries = size == 1536 || size == 2560;
    if (!between_entries) {
      EXPECT_NE("", error_of(tar.substr(0, size))) << size;
    }
  }
  EXPECT_THAT(error_of(std::string(tar).insert(1536, std::string(512, '\xff'))),
              HasSubstr("checksum"));
  EXPECT_THAT(error_of(std::string(tar).insert(1536, std::string(512, '\0'))),
              HasSubstr("block of zeros"));
  EXPECT_THAT(error_of("no tar at all"), HasSubstr("this is no tar"));
  // An extended header without its entry.
  EXPECT_NE("", error_of(Tar().file("x", "", pax({{"path", "y"}})).done().substr(0, 1024)));
}

TEST(TarReader, NumbersThatAreNoneAreRefused) {
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"size", "-5"}})).done()));
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"size", "4611686018427387904"}})).done()));
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"size", "99999999999999999999"}})).done()));
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"mtime", "x"}})).done()));
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"uid", "-1"}})).done()));
  // Base 256: -1, and 2^62 bytes.
  EXPECT_THAT(error_of(Tar().field(124, std::string(12, '\xff')).file("f", "").done()),
              HasSubstr("negative"));
  EXPECT_NE(
      "",
      error_of(
          Tar().field(124, std::string("\x80\0\0\0\x40\0\0\0\0\0\0\0", 12)).file("f", "").done()));
  EXPECT_NE(
      "",
      error_of(
          Tar().field(124, std::string("\x80\x01\0\0\0\0\0\0\0\0\0\0", 12)).file("f", "").done()));
  EXPECT_NE("", error_of(Tar().field(124, "12x4       ").file("f", "").done()));
}

TEST(TarReader, ANulWithinANameIsRefused) {
  const std::string name("a\0b", 3);
  EXPECT_THAT(error_of(Tar().file("f", "", pax({{"path", name}})).done()), HasSubstr("NUL"));
  EXPECT_THAT(error_of(Tar().file("f", "", pax({{"path", std::string("a\0", 2)}})).done()),
              HasSubstr("NUL"));
  EXPECT_THAT(error_of(Tar().file("f", "", pax({{"linkpath", name}})).done()), HasSubstr("NUL"));
  EXPECT_THAT(error_of(Tar().long_name('L', name).file("f", "").done()), HasSubstr("NUL"));
}

TEST(TarReader, ExtendedHeadersAreBounded) {
  EXPECT_THAT(error_of(Tar().file("f", "", pax({{"comment", std::string(2 << 20, 'c')}})).done()),
              HasSubstr("extended headers"));
  Tar many;
  for (int i = 0; i < 30; ++i) many.long_name('L', std::string(50'000, 'n'));
  EXPECT_THAT(error_of(many.file("f", "").done()), HasSubstr("extended headers"));
  Tar::Meta meta;
  for (int i = 0; i < 2000; ++i)
    meta.pax.emplace_back("SCHILY.xattr.user." + std::to_string(i), "v");
  EXPECT_THAT(error_of(Tar().file("f", "", meta).done()), HasSubstr("attributes"));
}

// The same file in every form: "ab" at 3, "c" at 9, 12 bytes in all.
TEST(TarReader, SparseFilesKeepTheirHoles) {
  const std::string map_block = [] {
    std::string block = "2\n3\n2\n9\n1\n";
    block.resize(512, '\0');
    return block;
  }();
  const auto octal = [](long n) {
    std::array<char, 13> text{};
    std::snprintf(text.data(), text.size(), "%011lo", n);
    return std::string(text.data(), 12);
  };
  const std::string old_map = octal(3) + octal(2) + octal(9) + octal(1) + std::string(48, '\0') +
                              std::string(1, '\0') + octal(12);
  const std::string forms[] = {
      Tar()
          .file("f", "abc",
                pax({{"GNU.sparse.size", "12"},
                     {"GNU.sparse.numblocks", "2"},
                     {"GNU.sparse.offset", "3"},
                     {"GNU.sparse.numbytes", "2"},
                     {"GNU.sparse.offset", "9"},
                     {"GNU.sparse.numbytes", "1"}}))
          .file("g", "1")
          .done(),
      Tar()
          .file("x", "abc",
                pax({{"GNU.sparse.name", "f"},
                     {"GNU.sparse.size", "12"},
                     {"GNU.sparse.map", "3,2,9,1"}}))
          .file("g", "1")
          .done(),
      Tar()
          .file("x", map_block + "abc",
                pax({{"GNU.sparse.major", "1"},
                     {"GNU.sparse.minor", "0"},
                     {"GNU.sparse.name", "f"},
                     {"GNU.sparse.realsize", "12"}}))
          .file("g", "1")
          .done(),
      Tar().field(386, old_map).field(156, "S").file("f", "abc").file("g", "1").done()};
  for (const auto& form : forms) {
    const auto seen = read_tar(form, 700);
    ASSERT_TRUE(seen) << seen.error().message;
    ASSERT_THAT(seen->data, ElementsAre("...ab....c..", "1"));
    EXPECT_EQ("f", seen->entries[0].path);
    EXPECT_TRUE(seen->entries[0].sparse);
    EXPECT_EQ(12, seen->entries[0].size);
    // Where bytes are needed a hole is none.
    TextSource source(form);
    TarReader reader(source);
    ASSERT_TRUE(reader.next());
    std::array<char, 10> some{};
    EXPECT_THAT(reader.data_source().read(some).error().message, HasSubstr("sparse"));
  }
}

TEST(TarReader, SparseMapsThatLieAreRefused) {
  const auto with = [](const std::string& size, const std::string& map) {
    return error_of(
        Tar().file("f", "abc", pax({{"GNU.sparse.size", size}, {"GNU.sparse.map", map}})).done());
  };
  EXPECT_EQ("", with("12", "3,2,9,1"));
  EXPECT_NE("", with("-5", "3,2,9,1"));
  EXPECT_NE("", with("4611686018427387904", "0,3"));
  EXPECT_NE("", with("4", "3,2,9,1"));
  EXPECT_NE("", with("12", "9,1,3,2"));
  EXPECT_NE("", with("12", "3,2,4,1"));
  EXPECT_NE("", with("12", "3,2"));
  EXPECT_NE("", with("12", "3,2,9,1,4"));
  EXPECT_NE("", with("12", "3,-1,9,4"));
  EXPECT_NE("", with("9223372036854775807", "9223372036854775807,9223372036854775807"));
  EXPECT_NE("", error_of(Tar()
                             .file("f", "9999999999\n",
                                   pax({{"GNU.sparse.major", "1"}, {"GNU.sparse.realsize", "12"}}))
                             .done()));
  EXPECT_NE("", error_of(Tar().file("f", "", pax({{"GNU.sparse.realsize", "-5"}})).done()));
}

}  // namespace
}  // namespace coracle::storage
