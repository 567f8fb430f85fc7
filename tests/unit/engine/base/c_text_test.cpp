#include "engine/base/c_text.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(CText, HoldsNoNul) {
  for (const char* json : {R"({"a": "b"})", R"(["\u0001", "u0000"])", R"("\\u0000")",
                           R"("\\\\u0000")", "\\\\u0000", ""})
    EXPECT_TRUE(require_no_nul(json)) << json;
}

TEST(CText, SaysWhereANulIs) {
  for (const char* json :
       {R"("\u0000")", R"({"\u0000": 1})", R"("\\\u0000")", R"("\\u0000\u0000")", "\\u0000"})
    EXPECT_FALSE(require_no_nul(json)) << json;
  const auto found = require_no_nul(R"(["ab", "c\u0000"])");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Errc::invalid_argument);
  EXPECT_THAT(found.error().message, testing::HasSubstr("a NUL at offset 9"));
}

}  // namespace
}  // namespace coracle
