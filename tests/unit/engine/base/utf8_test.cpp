#include "engine/base/utf8.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

using namespace std::string_literals;

const std::string kBad = "\xEF\xBF\xBD";

TEST(Utf8, EachByteThatIsNoneBecomesOneReplacement) {
  // Left: bytes; right: what Go's encoding/json makes of them.
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB3", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x90\xB3"},
      {"caf\xE9", "caf" + kBad},
      {"\xE2\x82", kBad + kBad},                        // cut
      {"\xE2\x82 x", kBad + kBad + " x"},               // cut, and goes on
      {"\xC0\xAF", kBad + kBad},                        // overlong
      {"\xE0\x80\x80", kBad + kBad + kBad},             // overlong
      {"\xED\xA0\x80", kBad + kBad + kBad},             // a surrogate
      {"\xF4\x90\x80\x80", kBad + kBad + kBad + kBad},  // above U+10FFFF
      {"\xF5\xFF\x80", kBad + kBad + kBad},
      {"a\0b"s, "a\0b"s},
      {"eight by\xFF"
       "eight by",
       "eight by" + kBad + "eight by"},
  };
  for (const auto& [bytes, text] : cases) {
    EXPECT_EQ(to_utf8(bytes), text);
    EXPECT_EQ(is_utf8(bytes), bytes == text);
    EXPECT_TRUE(is_utf8(text));
  }
}

TEST(Utf8, ABadByteIsFoundAtEveryPlace) {
  for (std::size_t size = 1; size < 40; ++size) {
    for (std::size_t at = 0; at < size; ++at) {
      std::string text(size, 'x');
      text[at] = '\x80';
      EXPECT_FALSE(is_utf8(text)) << at << " of " << size;
      EXPECT_EQ(to_utf8(text).size(), size + 2) << at << " of " << size;
    }
  }
}

TEST(Utf8, ACutTextLosesTheCharacterThatWasCut) {
  const std::string euro = "\xE2\x82\xAC";
  EXPECT_EQ(utf8_whole("ab" + euro), 5U);
  EXPECT_EQ(utf8_whole("ab" + euro.substr(0, 2)), 2U);
  EXPECT_EQ(utf8_whole("ab" + euro.substr(0, 1)), 2U);
  EXPECT_EQ(utf8_whole("a\xF0\x9F\x90"), 1U);
  EXPECT_EQ(utf8_whole("ab"), 2U);
  EXPECT_EQ(utf8_whole(""), 0U);
  // What is none anyway stays: it is replaced elsewhere.
  EXPECT_EQ(utf8_whole("ab\xFF"), 3U);
  EXPECT_EQ(utf8_whole("ab\x80\x80\x80\x80"), 6U);
  EXPECT_EQ(utf8_whole("\xE0\x80"), 2U);
}

TEST(JsonString, IsUtf8WhateverTheBytes) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  for (const auto style : {JsonStyle::brief, JsonStyle::log}) {
    std::string out;
    append_json_string(out, all, style);
    EXPECT_TRUE(is_utf8(out));
    EXPECT_EQ(out.find_first_of("\n\t\r"), std::string::npos);
  }
}

TEST(JsonString, EscapesWhatItsReadersAskFor) {
  const auto written = [](std::string_view text, JsonStyle style) {
    std::string out;
    append_json_string(out, text, style);
    return out;
  };
  EXPECT_EQ(written("a\"\\\n\t\x01<&>\xE2\x80\xA8\xFF", JsonStyle::brief),
            "\"a\\\"\\\\\\n\\t\\u0001<&>\xE2\x80\xA8\\ufffd\"");
  EXPECT_EQ(written("a\"\\\n\t\x01<&>\xE2\x80\xA8\xFF", JsonStyle::log),
            "\"a\\\"\\\\\\n\\u0009\\u0001\\u003c\\u0026\\u003e\\u2028\\ufffd\"");
}

}  // namespace
}  // namespace coracle
