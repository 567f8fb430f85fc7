#include "shim/wire/filters.hpp"

#include <gtest/gtest.h>

namespace coracle::wire {
namespace {

constexpr std::string_view kAccepted[] = {"label", "name"};

TEST(Filters, ComeInTwoShapes) {
  for (const char* text : {R"({"label":{"a=b":true,"c":true},"name":{"x":true}})",
                           R"({"label":["a=b","c"],"name":["x"]})"}) {
    const auto f = parse_filters(text, kAccepted);
    ASSERT_TRUE(f) << f.error().message;
    EXPECT_EQ(f->at("label"), (std::vector<std::string>{"a=b", "c"}));
    EXPECT_EQ(f->at("name"), std::vector<std::string>{"x"});
  }
  EXPECT_TRUE(parse_filters("", kAccepted)->empty());
  EXPECT_TRUE(parse_filters("{}", kAccepted)->empty());
}

TEST(Filters, NameTheUnknownKey) {
  const auto f = parse_filters(R"({"color":["red"]})", kAccepted);
  ASSERT_FALSE(f);
  EXPECT_EQ(f.error().message, "invalid filter 'color'");
}

}  // namespace
}  // namespace coracle::wire
