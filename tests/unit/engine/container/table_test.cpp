#include "engine/container/table.hpp"

#include <gtest/gtest.h>

namespace coracle {
namespace {

class Table : public testing::Test {
 protected:
  void add(const std::string& id, const std::string& name) {
    auto c = std::make_shared<Container>(io_);
    c->record.id = id;
    c->record.name = name;
    ASSERT_TRUE(table_.take_name(name, id));
    table_.add(c);
  }
  asio::io_context io_;
  ContainerTable table_;
};

TEST_F(Table, FindsByIdNameAndUniquePrefix) {
  const std::string one = "aa1" + std::string(61, '0'), two = "aa2" + std::string(61, '0');
  add(one, "web");
  add(two, "aa1");  // a name that is another's prefix: the name wins
  EXPECT_EQ((*table_.find(one))->name(), "web");
  EXPECT_EQ((*table_.find("/web"))->id(), one);
  EXPECT_EQ((*table_.find("aa1"))->id(), two);
  EXPECT_EQ((*table_.find("aa10"))->id(), one);
  EXPECT_EQ(table_.find("aa").error().message, "multiple IDs found with provided prefix: aa");
  EXPECT_EQ(table_.find("bb").error().message, "No such container: bb");
  EXPECT_EQ(table_.find("").error().code, Errc::not_found);
}

TEST_F(Table, ANameIsTakenOnceAndFreedWithItsContainer) {
  add("aa", "web");
  const auto taken = table_.take_name("web", "bb");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message,
            "Conflict. The container name \"/web\" is already in use by container \"aa\". You "
            "have to remove (or rename) that container to be able to reuse that name.");
  const auto c = *table_.find("web");
  table_.remove(*c);
  EXPECT_TRUE(table_.take_name("web", "bb"));
  EXPECT_FALSE(table_.find("aa"));
}

TEST(ContainerName, FollowsDockersRule) {
  for (const char* good : {"web", "a1", "A_b.c-d"}) EXPECT_TRUE(check_container_name(good));
  for (const char* bad : {"", "a", "_a", "a b", "a/b", "-x", "ä1"})
    EXPECT_FALSE(check_container_name(bad)) << bad;
}

}  // namespace
}  // namespace coracle
