// The decompressors, whose input comes in pieces of any size and may end anywhere.
#include <algorithm>
#include <charconv>

#include <gtest/gtest.h>

#include "storage/content/byte_source.hpp"
#include "tests/unit/storage/tar.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

constexpr std::string_view kText = "the same words, the same words\n";

enum Flags : unsigned { checksum = 2, extra = 4, name = 8, comment = 16 };

// A member of a gzip with the parts of the head that `flags` names.
std::string member(unsigned flags, std::string_view text = kText) {
  std::string head = gzipped(text);
  const std::string rest = head.substr(10);
  head.resize(10);
  head[3] = static_cast<char>(flags);
  if ((flags & extra) != 0) head += std::string("\x05\0a\0b\0c", 7);
  if ((flags & name) != 0) head += std::string("i.tar\0", 6);
  if ((flags & comment) != 0) head += std::string("why\0", 4);
  if ((flags & checksum) != 0) {
    const auto crc =
        crc32(0, reinterpret_cast<const Bytef*>(head.data()), static_cast<uInt>(head.size()));
    head += static_cast<char>(crc & 0xff);
    head += static_cast<char>(crc >> 8 & 0xff);
  }
  return head + rest;
}

Result<std::string> inflate_all(const std::string& packed, std::size_t piece) {
  TextSource source(packed, piece);
  TRY(const auto plain, inflated(source, compression_of(packed)));
  return all_of(*plain);
}

std::string failure(const std::string& packed, std::size_t piece = 4096) {
  const auto all = inflate_all(packed, piece);
  return all ? "" : all.error().message;
}

std::string from_hex(std::string_view hex) {
  std::string out;
  for (; hex.size() >= 2; hex.remove_prefix(2)) {
    unsigned byte = 0;
    std::from_chars(hex.data(), hex.data() + 2, byte, 16);
    out += static_cast<char>(byte);
  }
  return out;
}

const std::string kBzip2 = from_hex(
    "425a6839314159265359e6a8cd2400000e51800010400426429c8020002128868c4f4201a00be9c734d64947ca1084"
    "264e60bb9229c2848735466920");
const std::string kXz = from_hex(
    "fd377a585a0000016922de360200210116000000742fe5a3e0001e00175d003a1a08ce76d976d393cee06c5c75e42b"
    "f7f5125e79900000007ebac39600012f1fb38092bf9042990d010000000001595a");
const std::string kLz4 = from_hex(
    "04224d186440a71a000000f6017468652073616d6520776f7264732c201000506f7264730a00000000d7eda8b4");

TEST(Inflate, TakesEveryHeadOfAGzipInPiecesOfEverySize) {
  for (unsigned flags = 0; flags < 32; flags += 2) {
    const auto packed = member(flags);
    for (std::size_t piece = 1; piece <= packed.size(); ++piece)
      EXPECT_EQ(inflate_all(packed, piece).value_or("damaged"), kText) << flags << ' ' << piece;
  }
}

TEST(Inflate, TakesOneMemberOfAGzipAfterTheOther) {
  std::string packed;
  std::string text;
  for (const unsigned flags : {8U, 0U, 30U, 2U}) {
    packed += member(flags);
    text += kText;
  }
  packed += member(name | comment, "");  // a member without data
  for (std::size_t piece = 1; piece < 120; ++piece) {
    EXPECT_EQ(inflate_all(packed, piece).value_or("damaged"), text) << piece;
    // Padding behind the last one is no member.
    EXPECT_EQ(inflate_all(packed + std::string(64, '\0'), piece).value_or("damaged"), text);
  }
}

TEST(Inflate, MissesTheRestOfAGzipWhereverItIsCut) {
  const auto packed = member(checksum | extra | name | comment);
  for (std::size_t size = 2; size < packed.size(); ++size) {
    for (const std::size_t piece : {std::size_t{1}, packed.size()}) {
      EXPECT_EQ(failure(packed.substr(0, size), piece), "gzip: unexpected end") << size;
      EXPECT_EQ(failure(packed + packed.substr(0, size), piece), "gzip: unexpected end") << size;
    }
  }
}

TEST(Inflate, ReadsALongNameAndALongExtraPart) {
  const auto plain = gzipped(kText);
  std::string head = plain.substr(0, 10);
  head[3] = extra | name;
  head += "\xff\xff" + std::string(65535, '\x1f') + std::string(300000, 'n') + '\0';
  EXPECT_EQ(inflate_all(head + plain.substr(10), 1000).value_or("damaged"), kText);
}

TEST(Inflate, RefusesADamagedHeadOfAGzip) {
  const auto packed = member(checksum | name);
  auto other = packed;
  other[2] = 7;  // no method that anyone has
  EXPECT_EQ(failure(other, 1), "gzip: invalid header");
  other = packed;
  other[3] = '\x42';
  EXPECT_EQ(failure(other, 1), "gzip: unknown flags in the header (0x42)");
  other = packed;
  other[11] = 'x';  // within the name
  EXPECT_EQ(failure(other, 1), "gzip: the header's checksum is wrong");
  other = packed;
  other[packed.size() - 5] ^= 1;  // the checksum of the data
  EXPECT_NE(failure(other, 1), "");
}

TEST(Inflate, TakesFramesOfAZstdInPiecesOfEverySize) {
  const std::string skipped("\x50\x2a\x4d\x18\x03\0\0\0abc", 11);
  const auto frame = zstd_packed(kText);
  const auto packed = skipped + frame + skipped + frame;
  for (std::size_t piece = 1; piece <= packed.size(); ++piece)
    EXPECT_EQ(inflate_all(packed, piece).value_or("damaged"),
              std::string(kText) + std::string(kText));
  for (std::size_t size = 4; size < frame.size(); ++size)
    EXPECT_EQ(failure(frame.substr(0, size), 1), "zstd: unexpected end") << size;
}

TEST(Inflate, TakesWhatOnlyAnImportMayUseInPiecesOfEverySize) {
  for (const auto& packed : {kBzip2, kXz, kLz4}) {
    ASSERT_EQ(compression_of(packed), Compression::other);
    for (std::size_t piece = 1; piece <= packed.size(); ++piece) {
      EXPECT_EQ(inflate_all(packed, piece).value_or("damaged"), kText) << piece;
      EXPECT_EQ(inflate_all(packed + packed, piece).value_or("damaged"),
                std::string(kText) + std::string(kText))
          << piece;
    }
    for (std::size_t size = 6; size < packed.size(); ++size)
      EXPECT_NE(failure(packed.substr(0, size), 3), "") << size;
  }
}

}  // namespace
}  // namespace coracle::storage
