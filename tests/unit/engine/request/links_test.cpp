#include "engine/request/links.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

TEST(Link, IsANameAndAnAlias) {
  const auto parsed = [](const char* text) {
    const auto link = parse_link(text);
    return link ? link->name + " " + link->alias : link.error().message;
  };
  EXPECT_EQ(parsed("db"), "db db");
  EXPECT_EQ(parsed("db:data"), "db data");
  EXPECT_EQ(parsed("/db:/web/data"), "db data");  // as inspect shows it
  for (const char* bad : {"", ":x", "x:", "a:b:c", "/:x"})
    EXPECT_EQ(parsed(bad), std::string("bad format for links: ") + bad);
}

}  // namespace
}  // namespace coracle
