#include "engine/spec/keep_id.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(UsernsMode, IsHostOrKeepId) {
  for (const char* none : {"", "host"}) EXPECT_EQ(*parse_userns_mode(none), std::nullopt);
  EXPECT_EQ(**parse_userns_mode("keep-id"), KeepIdRequest{});
  EXPECT_EQ(**parse_userns_mode("keep-id:uid=5"), (KeepIdRequest{5, std::nullopt}));
  EXPECT_EQ(**parse_userns_mode("keep-id:gid=7,uid=0"), (KeepIdRequest{0, 7}));
  for (const char* bad : {"keep", "keep-id:", "keep-id,uid=5", "keep-id:uid=", "keep-id:uid=-1",
                          "keep-id:pid=1", "keep-id:uid=4294967296", "private"})
    EXPECT_EQ(parse_userns_mode(bad).error().message,
              std::string("invalid user namespace mode: ") + bad);
}

std::string map_of(std::uint32_t id, std::uint32_t ids) {
  const auto map = keep_id_map(id, ids);
  return map ? layer_id_map(*map) : map.error().message;
}

TEST(KeepIdMap, ExchangesTheIdAndRoot) {
  EXPECT_EQ(map_of(1000, 65537), "0:1000:1:1:1:999:1000:0:1:1001:1001:64536");
  EXPECT_EQ(map_of(1, 3), "0:1:1:1:0:1:2:2:1");
  EXPECT_EQ(map_of(2, 3), "0:2:1:1:1:1:2:0:1");
  EXPECT_EQ(map_of(0, 3), "0:0:3");
  EXPECT_THAT(map_of(3, 3), testing::HasSubstr("there is no id 3 among the 3 ids"));
  EXPECT_EQ(root_of(*keep_id_map(1000, 65537)), 1000U);
  EXPECT_EQ(root_of({}), 0U);
}

}  // namespace
}  // namespace coracle
