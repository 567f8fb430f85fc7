#include "engine/base/ident.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(Times, AreWrittenAsGoDoes) {
  EXPECT_EQ(to_rfc3339(Time{}), "0001-01-01T00:00:00Z");
  EXPECT_EQ(to_rfc3339(Time{1'700'000'000'120'000'000}), "2023-11-14T22:13:20.12Z");
  EXPECT_EQ(to_rfc3339(Time{1'700'000'000'000'000'000}), "2023-11-14T22:13:20Z");
  EXPECT_EQ(to_rfc3339_fixed(Time{1'700'000'000'120'000'000}), "2023-11-14T22:13:20.120000000Z");
}

TEST(Times, AreReadWithAnyOffset) {
  EXPECT_EQ(from_rfc3339("2023-11-14T23:13:20.5+01:00")->ns, 1'700'000'000'500'000'000);
  EXPECT_EQ(from_rfc3339("0001-01-01T00:00:00Z")->ns, 0);
  for (const char* bad : {"", "yesterday", "2023-13-01T00:00:00Z", "2023-11-14",
                          "2023-11-14T22:13:20", "9999-01-01T00:00:00Z", "2023/11/14T22:13:20Z"})
    EXPECT_FALSE(from_rfc3339(bad)) << bad;
}

// An image may say that it is older than Unix. Found by tests/fuzz (time).
TEST(Times, Before1970AreWrittenSoThatTheyCanBeRead) {
  for (const std::string text : {"1969-12-31T23:59:59.5Z", "1678-01-01T00:00:00.000000001Z",
                                 "1960-02-29T12:00:00Z", "2261-12-31T23:59:59.999999999Z"}) {
    const auto t = from_rfc3339(text);
    ASSERT_TRUE(t) << text;
    EXPECT_EQ(to_rfc3339(*t), text);
    EXPECT_EQ(from_rfc3339(to_rfc3339_fixed(*t)), *t) << text;
  }
}

TEST(Times, WhoseYearCannotBeWrittenAreRefused) {
  for (const std::string text :
       {"2261-12-31T23:59:60Z", "2261-12-31T23:59:59-00:01", "1678-01-01T00:00:00+00:01",
        "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+01:60"})
    EXPECT_FALSE(from_rfc3339(text)) << text;
}

TEST(Timestamps, AreUnixSecondsOrRfc3339) {
  EXPECT_EQ(parse_timestamp("1700000000.5")->ns, 1'700'000'000'500'000'000);
  EXPECT_EQ(parse_timestamp("1700000000")->ns, 1'700'000'000'000'000'000);
  EXPECT_EQ(parse_timestamp("2023-11-14T22:13:20Z")->ns, 1'700'000'000'000'000'000);
  EXPECT_GT(parse_timestamp("9999999999")->ns, 0) << "the far future does not overflow";
  EXPECT_FALSE(parse_timestamp("soon"));
  for (const char* far : {"99999999999", "9223372036854775807", "9223372036854775807.999999999"})
    EXPECT_EQ(parse_timestamp(far)->ns / 1'000'000'000, 9'223'372'035) << far;
  EXPECT_LT(parse_timestamp("-9223372036854775807")->ns, 0);
  EXPECT_EQ(parse_timestamp("+5")->ns, 5'000'000'000);
  for (const char* epoch :
       {"0", "-0", "0.000", "1970-01-01T00:00:00Z", "1970-01-01T01:00:00+01:00"})
    EXPECT_EQ(parse_timestamp(epoch)->ns, 1) << epoch << ": 0 would be never";
  EXPECT_EQ(parse_timestamp("0001-01-01T00:00:00Z")->ns, 0);
  for (const char* bad :
       {"", "-", "+", ".", "+-5", "1.x", "1.-5", "1e9", "9223372036854775808", " 1"})
    EXPECT_FALSE(parse_timestamp(bad)) << bad;
}

TEST(Ids, AreSixtyFourHexDigits) {
  const auto id = random_id();
  EXPECT_EQ(id.size(), 64U);
  EXPECT_TRUE(is_hex_id(id));
  EXPECT_NE(id, random_id());
  EXPECT_EQ(short_id(id), id.substr(0, 12));
}

TEST(Base64, TakesBothAlphabetsAndNoPadding) {
  EXPECT_EQ(base64_encode("any carnal pleas"), "YW55IGNhcm5hbCBwbGVhcw==");
  EXPECT_EQ(base64_decode("YW55IGNhcm5hbCBwbGVhcw"), "any carnal pleas");
  EXPECT_EQ(*base64_decode("_-8="), *base64_decode("/+8="));
  EXPECT_FALSE(base64_decode("!!!!"));
}

}  // namespace
}  // namespace coracle
