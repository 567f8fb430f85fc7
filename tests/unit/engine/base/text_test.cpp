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

TEST(Text, HasItemsBetweenCommas) {
  EXPECT_THAT(list_items("a,b c,,d"), ElementsAre("a", "b c", "d"));
  EXPECT_THAT(list_items(",a,"), ElementsAre("a"));
  EXPECT_THAT(list_items(""), IsEmpty());
}

}  // namespace
}  // namespace coracle
