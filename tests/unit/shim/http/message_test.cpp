#include "shim/http/message.hpp"

#include <gtest/gtest.h>

#include "shim/http/hijack.hpp"

namespace coracle::http {
namespace {

TEST(Query, DecodesOnceAndKeepsRepeatedKeys) {
  const auto q = Query::parse("names=a%2Fb&names=c+d&t=10&flag&x=%2525");
  ASSERT_TRUE(q);
  EXPECT_EQ(q->list("names"), (std::vector<std::string>{"a/b", "c d"}));
  EXPECT_EQ(q->number("t").value(), 10);
  EXPECT_EQ(q->text("x"), "%25");
  EXPECT_FALSE(Query::parse("a=%4"));
  EXPECT_FALSE(Query::parse("a=%zz"));
}

TEST(Query, ReadsFlagsAsDockerDoes) {
  const auto q = Query::parse("a=1&b=0&c=False&d=+no+&e=&f=yes&g=none&h=2");
  ASSERT_TRUE(q);
  for (const char* on : {"a", "f", "h"}) EXPECT_TRUE(q->flag(on)) << on;
  for (const char* off : {"b", "c", "d", "e", "g", "absent"}) EXPECT_FALSE(q->flag(off)) << off;
  EXPECT_TRUE(q->flag("absent", true));
}

TEST(Query, RefusesWhatIsNoNumber) {
  const auto q = Query::parse("a=ten&b=1x&c=99999999999999999999&d=-5");
  ASSERT_TRUE(q);
  for (const char* bad : {"a", "b", "c"}) EXPECT_FALSE(q->number(bad)) << bad;
  EXPECT_EQ(q->number("d").value(), -5);
  EXPECT_EQ(q->number("absent").value(), std::nullopt);
}

TEST(Version, IsTwoNumbers) {
  EXPECT_EQ(parse_version("1.41"), (ApiVersion{1, 41}));
  for (const char* bad : {"", "1", "1.", ".1", "1.4.1", "1.x", "99999999999.1", "-1.2"})
    EXPECT_FALSE(parse_version(bad)) << bad;
  EXPECT_LT((ApiVersion{1, 9}), (ApiVersion{1, 24}));
}

TEST(Frame, HasAnEightByteHeaderAndIsNeverEmpty) {
  std::string out;
  append_frame(out, 2, "");
  EXPECT_EQ(out, "");
  append_frame(out, 2, "hi\n");
  EXPECT_EQ(out, std::string("\x02\0\0\0\0\0\0\x03hi\n", 11));
}

TEST(StreamType, IsMultiplexedWithoutATtyFrom142On) {
  EXPECT_STREQ(stream_type(false, {1, 42}), kMultiplexedStream);
  EXPECT_STREQ(stream_type(false, {1, 41}), kRawStream);
  EXPECT_STREQ(stream_type(true, {1, 51}), kRawStream);
}

}  // namespace
}  // namespace coracle::http
