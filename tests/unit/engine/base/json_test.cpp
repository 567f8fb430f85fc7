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

}  // namespace
}  // namespace coracle
