#include "engine/exec/detach_keys.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(DetachKeys, AreBytesOfASequence) {
  using Keys = std::vector<std::uint8_t>;
  EXPECT_EQ(*parse_detach_keys(""), (Keys{16, 17}));
  EXPECT_EQ(*parse_detach_keys("ctrl-x,x"), (Keys{24, 'x'}));
  EXPECT_EQ(*parse_detach_keys("ctrl-@,ctrl-[,ctrl-_,Q"), (Keys{0, 27, 31, 'Q'}));
}

// What moby/term's ToBytes refuses, with the words of dockerd's attach.
TEST(DetachKeys, WhatIsNoKeyIsRefused) {
  for (const char* text : {"invalid", "ctrl-", "ctrl-A", "ctrl-1", "ctrl-p,", ",", "a,,b", " a",
                           "ctrl-p ctrl-q", "ctrl-\xC3\xA9", "ctrl-pp"}) {
    const auto keys = parse_detach_keys(text);
    ASSERT_FALSE(keys) << text;
    EXPECT_EQ(keys.error().code, Errc::invalid_argument);
    EXPECT_EQ(keys.error().message, std::string("Invalid detach keys (") + text + ") provided");
  }
}

}  // namespace
}  // namespace coracle
