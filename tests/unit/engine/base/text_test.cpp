#include "engine/base/text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Text, LowersAsciiAlone) {
  EXPECT_EQ(lower("Content-TYPE"), "content-type");
  EXPECT_EQ(lower("ÄZ"), "Äz");
}

TEST(Text, HasWordsBetweenWhiteSpace) {
  EXPECT_THAT(words_of("  a\tbc \n d"), ElementsAre("a", "bc", "d"));
  EXPECT_THAT(words_of(" \t"), IsEmpty());
  EXPECT_THAT(words_of(""), IsEmpty());
}

TEST(Text, IsSplitAtASeparator) {
  EXPECT_THAT(split("a::b:", ':'), ElementsAre("a", "", "b", ""));
  EXPECT_THAT(split("", ':'), ElementsAre(""));
}

TEST(Text, IsTrimmedAtBothEnds) {
  EXPECT_EQ(trimmed(" \t a b\n"), "a b");
  EXPECT_EQ(trimmed(" \r\n"), "");
  EXPECT_EQ(upper("aZ-é"), "AZ-é");
}

TEST(Text, ReadsBooleansAsGoDoes) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
    EXPECT_EQ(parse_go_bool(yes), true);
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"})
    EXPECT_EQ(parse_go_bool(no), false);
  for (const char* neither : {"", "yes", "tRUE", "2"})
    EXPECT_EQ(parse_go_bool(neither), std::nullopt);
}

TEST(Text, ReadsDurationsAsGoDoes) {
  EXPECT_EQ(parse_go_duration_ns("1m30s"), 90'000'000'000);
  EXPECT_EQ(parse_go_duration_ns("1.5h"), 5'400'000'000'000);
  EXPECT_EQ(parse_go_duration_ns("500ms2us1ns"), 500'002'001);
  EXPECT_EQ(parse_go_duration_ns("3µs"), 3'000);
  for (const char* wrong : {"", "1", "s", "1x", "-1s", "1e3s", "nans", "99999999999h", "1s "})
    EXPECT_EQ(parse_go_duration_ns(wrong), std::nullopt) << wrong;
}

TEST(Text, HasItemsBetweenCommas) {
  EXPECT_THAT(list_items("a,b c,,d"), ElementsAre("a", "b c", "d"));
  EXPECT_THAT(list_items(",a,"), ElementsAre("a"));
  EXPECT_THAT(list_items(""), IsEmpty());
}

}  // namespace
}  // namespace coracle
