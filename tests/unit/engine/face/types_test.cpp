#include "engine/face/types.hpp"

#include <gtest/gtest.h>

#include "engine/base/json.hpp"

namespace coracle {
namespace {

TEST(Types, AStatusComesBackAsItWasWritten) {
  for (const auto status : {Status::created, Status::running, Status::dead}) {
    const auto text = json::to_text(status);
    EXPECT_EQ(text, std::string("\"") + name_of(status) + "\"");
    const auto back = json::from_text<Status>(text);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, status);
  }
}

TEST(Types, AListMayBeGivenAsOneString) {
  EXPECT_EQ(json::from_text<StringList>("\"sh\"")->items, std::vector<std::string>{"sh"});
  EXPECT_EQ(json::from_text<StringList>("[\"a\",\"b\"]")->items.size(), 2U);
  EXPECT_FALSE(json::from_text<StringList>("7"));
}

}  // namespace
}  // namespace coracle
