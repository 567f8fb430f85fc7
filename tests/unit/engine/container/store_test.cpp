#include "engine/container/store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/base/file.hpp"
#include "engine/base/json.hpp"

namespace coracle {
namespace {

class StoreTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/coracle-store-XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    root_ = path;
    store_.emplace(root_ + "/data", root_ + "/exec");
    ASSERT_TRUE(store_->prepare());
  }
  void TearDown() override { (void)remove_tree(root_); }
  void write(const std::string& id) {
    ContainerRecord r;
    r.id = id;
    r.name = "n" + id;
    ASSERT_TRUE(store_->write_record(id, json::to_text(r)));
  }
  std::string root_;
  std::optional<Store> store_;
};

TEST_F(StoreTest, AContainerComesBackAsItWas) {
  write("aa");
  StateRecord s;
  s.status = Status::exited;
  s.exit_code = 7;
  s.finished_at = now();
  ASSERT_TRUE(store_->save_state("aa", s));
  const auto all = store_->load();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ((*all)[0].record.name, "naa");
  EXPECT_EQ((*all)[0].state.exit_code, 7);
  EXPECT_EQ((*all)[0].state.finished_at, s.finished_at);
  EXPECT_TRUE((*all)[0].damage.empty());
}

TEST_F(StoreTest, AContainerThatIsStagedExistsOnceItIsPublished) {
  ContainerRecord r;
  r.id = "a";
  ASSERT_TRUE(store_->stage_record("a", json::to_text(r)));
  ASSERT_TRUE(store_->publish_record("a"));
  r.id = "b";
  ASSERT_TRUE(store_->stage_record("b", json::to_text(r)));
  const auto all = store_->load();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 1U);
  EXPECT_EQ(all->front().record.id, "a");
  EXPECT_FALSE(exists(store_->dir("b"))) << "half made: thrown away";
}

TEST_F(StoreTest, ADamagedFileCostsOneContainerAndIsNamed) {
  write("aa");
  write("bb");
  ASSERT_TRUE(write_file_atomic(store_->file("aa", "config.json"), "{\"id\":"));
  write("cc");
  ASSERT_TRUE(write_file_atomic(store_->file("cc", "state.json"), ""));
  const auto all = store_->load();
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 3U);
  EXPECT_THAT((*all)[0].damage, testing::HasSubstr("aa/config.json"));
  EXPECT_EQ((*all)[0].record.id, "aa");
  EXPECT_TRUE((*all)[1].damage.empty());
  EXPECT_THAT((*all)[2].damage, testing::HasSubstr("cc/state.json"));
}

TEST_F(StoreTest, AHalfMadeContainerBecomesTrash) {
  ASSERT_TRUE(make_dirs(store_->bundle("aa")));
  EXPECT_TRUE(store_->load()->empty());
  EXPECT_FALSE(exists(store_->dir("aa")));
  EXPECT_EQ(list_dir(root_ + "/data/trash")->size(), 1U);
  store_->empty_trash();
  EXPECT_TRUE(list_dir(root_ + "/data/trash")->empty());
}

TEST_F(StoreTest, RemovalIsOneStepAndCanBeRepeated) {
  write("aa");
  ASSERT_TRUE(store_->discard("aa"));
  EXPECT_FALSE(exists(store_->dir("aa")));
  EXPECT_TRUE(store_->discard("aa"));
}

}  // namespace
}  // namespace coracle
