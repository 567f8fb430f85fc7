#include "engine/bundle/yaml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

std::string as_json(const std::string& yaml) {
  const auto value = parse_yaml(yaml);
  return value ? json::serialize(*value) : value.error().message;
}

TEST(Yaml, IsTheJsonThatItMeans) {
  EXPECT_EQ(as_json("a: 1\nb: [x, 'true', true, ~]\nc:\n- d: 0660\n  e: \"7\"\n"),
            R"({"a":1,"b":["x","true",true,null],"c":[{"d":432,"e":"7"}]})");
  EXPECT_EQ(as_json("# nothing\n"), "null");
  EXPECT_EQ(as_json("v: 0.6.0\nn: -3\nx: 0x10\ns: --1\n"),
            R"({"v":"0.6.0","n":-3,"x":16,"s":"--1"})");
}

TEST(Yaml, SaysWhereItIsNone) {
  EXPECT_THAT(as_json("a: [\n"), testing::HasSubstr("line 2"));
  EXPECT_THAT(as_json("a: &x 1\nb: *x\n"), testing::HasSubstr("line 1: anchors"));
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += "[";
  EXPECT_THAT(as_json(deep), testing::HasSubstr("too deep"));
}

}  // namespace
}  // namespace coracle
