#include "engine/base/json.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

struct Inner {
  std::string target;
};
void describe(auto& field, Inner& i) { field("Target", i.target); }
struct Outer {
  std::vector<Inner> mounts;
  std::map<std::string, std::string> labels;
  std::optional<bool> init;
  std::int32_t count = 7;
  Time at;
};
void describe(auto& field, Outer& o) {
  field("Mounts", o.mounts)("Labels", o.labels)("Init", o.init)("Count", o.count)("At", o.at);
}

TEST(Json, AWrongTypeIsToldWithItsPlace) {
  const auto r = json::from_text<Outer>(R"({"Mounts":[{"Target":"/a"},{"Target":5}]})");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, Errc::invalid_argument);
  EXPECT_EQ(r.error().message, "Mounts[1].Target: expected a string");
}

TEST(Json, UnknownKeysAndNullsKeepTheDefaults) {
  const auto r = json::from_text<Outer>(R"({"Count":null,"Else":{"x":1},"Init":null})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->count, 7);
  EXPECT_FALSE(r->init);
}

TEST(Json, ANumberOutOfRangeIsRefused) {
  EXPECT_FALSE(json::from_text<Outer>(R"({"Count":3000000000})"));
  EXPECT_FALSE(json::from_text<Outer>(R"({"Count":1.5})"));
  EXPECT_EQ(json::from_text<Outer>(R"({"Count":5.0})")->count, 5);
}

TEST(Json, TheFirstValueTellsWhatStandsBehindIt) {
  for (const char* value : {"{}", "[1]", "12", "-0.5", "\"a\"", "null"}) {
    const auto alone = json::parse_first(std::string(value) + " \n");
    ASSERT_TRUE(alone) << value << alone.error().message;
    EXPECT_FALSE(alone->behind) << value;
    for (const char behind : {'}', ']', 'x', '{', '\0'}) {
      const auto first = json::parse_first(std::string(value) + " \t" + behind + " more");
      ASSERT_TRUE(first) << value << first.error().message;
      EXPECT_EQ(first->behind, behind) << value;
      EXPECT_EQ(first->value, *json::parse(value));
    }
  }
  EXPECT_EQ(json::parse_first("12x")->behind, 'x');
  for (const char* text : {"", " ", "{", "-", "1.", "nul", "\xFF"})
    EXPECT_FALSE(json::parse_first(text)) << text;
}

// ---- What a client of Docker sends, which Go reads in any case.

Result<Outer> of_client(std::string_view text) {
  TRY(const auto value, json::parse(text));
  return json::from_json_of_client<Outer>(value);
}

TEST(JsonOfClient, AKeyMeansItsFieldWhateverItsCase) {
  for (const char* text :
       {R"({"Mounts":[{"Target":"/a"}],"Labels":{"K":"v"},"Init":true,"Count":3})",
        R"({"mounts":[{"target":"/a"}],"labels":{"K":"v"},"init":true,"count":3})",
        R"({"MOUNTS":[{"tARGET":"/a"}],"lABELS":{"K":"v"},"INIT":true,"coUNT":3})"}) {
    const auto r = of_client(text);
    ASSERT_TRUE(r) << text << r.error().message;
    ASSERT_EQ(r->mounts.size(), 1U) << text;
    EXPECT_EQ(r->mounts[0].target, "/a") << text;
    EXPECT_EQ(r->labels, (std::map<std::string, std::string>{{"K", "v"}})) << text;
    EXPECT_EQ(r->init, true) << text;
    EXPECT_EQ(r->count, 3) << text;
  }
}

TEST(JsonOfClient, TheKeysOfMapsStayAsTheyAre) {
  const auto r = of_client(R"({"labels":{"a":"1","A":"2"}})");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->labels, (std::map<std::string, std::string>{{"a", "1"}, {"A", "2"}}));
}

TEST(JsonOfClient, TheLastOfSeveralCountsAndNullDoesNot) {
  EXPECT_EQ(of_client(R"({"Count":1,"count":2})")->count, 2);
  EXPECT_EQ(of_client(R"({"count":1,"Count":2})")->count, 2);
  EXPECT_EQ(of_client(R"({"COUNT":1,"count":null})")->count, 1);
  EXPECT_EQ(of_client("null")->count, 7);
}

TEST(JsonOfClient, AnErrorNamesTheFieldAsDockerDoes) {
  const auto r = of_client(R"({"mounts":[{"target":5}]})");
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().message, "Mounts[0].Target: expected a string");
}

TEST(JsonOfClient, KeysOfAnyLengthAndByteAreNoField) {
  std::string text = "{";
  for (int i = 0; i < 100'000; ++i) text += "\"count" + std::to_string(i) + "\":1,";
  text += "\"" + std::string(1 << 20, 'C') + "\":1,\"\":2,\"count\xC3\xA9\":3}";
  const auto r = of_client(text);
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->count, 7);
}

TEST(Json, OurOwnRecordsAreReadExactly) {
  EXPECT_EQ(json::from_text<Outer>(R"({"count":1})")->count, 7);
}

TEST(Json, WhatFollowsTheValueIsRefused) {
  EXPECT_EQ(json::parse("{} x").error().code, Errc::invalid_argument);
  EXPECT_FALSE(json::parse(""));
  EXPECT_FALSE(json::parse(std::string(100000, '[')));
}

TEST(Json, WrittenAndReadBackItIsTheSame) {
  Outer o;
  o.mounts = {{"/a<b>&"}};
  o.labels = {{"k", "v"}};
  o.init = false;
  o.at = Time{1'700'000'000'123'456'789};
  const auto text = json::to_text(o);
  EXPECT_NE(text.find("/a<b>&"), std::string::npos) << text;
  const auto back = json::from_text<Outer>(text);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(json::to_text(*back), text);
  EXPECT_EQ(back->at, o.at);
}

// ---- Bytes that are no UTF-8: from a file's name, a program's output, an image's label.

TEST(Json, AnyByteInATextIsWrittenAsUtf8AndReadBack) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bad(1, static_cast<char>(byte));
    Outer o;
    o.mounts = {{"caf" + bad + "x"}};
    o.labels = {{"k" + bad, bad + bad}};
    const auto text = json::to_text(o);
    const auto back = json::from_text<Outer>(text);
    ASSERT_TRUE(back) << byte << ": " << back.error().message;
    const std::string good = byte < 0x80 ? bad : "\xEF\xBF\xBD";
    EXPECT_EQ(back->mounts.at(0).target, "caf" + good + "x") << byte;
    ASSERT_EQ(back->labels.size(), 1U) << byte;
    EXPECT_EQ(back->labels.begin()->first, "k" + good) << byte;
    EXPECT_EQ(back->labels.begin()->second, good + good) << byte;
    EXPECT_EQ(json::to_text(*back), text) << byte;
  }
}

TEST(Json, AllBytesTogetherAreWrittenAsUtf8AndReadBack) {
  Outer o;
  o.mounts.resize(1);
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      o.mounts[0].target += static_cast<char>(a);
      o.mounts[0].target += static_cast<char>(b);
    }
  }
  const auto back = json::from_text<Outer>(json::to_text(o));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(json::to_text(*back), json::to_text(o));
}

TEST(Json, WhatAnOlderVersionWroteWithSuchBytesIsReadAsGoReadsIt) {
  const auto r = json::from_text<Outer>("{\"Mounts\":[{\"Target\":\"caf\xE9 \xE2\x82\"}]}");
  ASSERT_TRUE(r) << r.error().message;
  EXPECT_EQ(r->mounts[0].target, "caf\xEF\xBF\xBD \xEF\xBF\xBD\xEF\xBF\xBD");
  // Outside of a text they are an error.
  EXPECT_FALSE(json::parse("{\xE9}"));
  EXPECT_FALSE(json::parse("[1]\xFF"));
}

TEST(Json, ANumberBeyondADoubleIsAnErrorSinceItCannotBeWrittenAgain) {
  for (const char* text : {"1E30000000", "[1,{\"a\":-1e400}]"})
    EXPECT_FALSE(json::parse(text)) << text;
  EXPECT_TRUE(json::parse("[1e300,{\"a\":0.5}]"));
}

}  // namespace
}  // namespace coracle
