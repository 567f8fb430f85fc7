#include "engine/rootless/idmap.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle::rootless {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(MakeIdMap, PutsTheCallerAtZeroAndTheRangesBehindIt) {
  EXPECT_THAT(make_id_map(1000, {{100000, 65536}, {300000, 10}}),
              ElementsAre(IdMapping{0, 1000, 1}, IdMapping{1, 100000, 65536},
                          IdMapping{65537, 300000, 10}));
}

TEST(MakeIdMap, WithoutRangesMapsOneId) {
  EXPECT_THAT(make_id_map(1000, {}), ElementsAre(IdMapping{0, 1000, 1}));
}

TEST(MakeIdMap, LeavesTheCallersOwnIdOutOfARange) {
  EXPECT_THAT(make_id_map(1005, {{1000, 10}}),
              ElementsAre(IdMapping{0, 1005, 1}, IdMapping{1, 1000, 5}, IdMapping{6, 1006, 4}));
}

TEST(MakeIdMap, MapsWhatTwoRangesShareOnce) {
  EXPECT_THAT(make_id_map(1, {{100, 10}, {105, 10}, {100, 10}}),
              ElementsAre(IdMapping{0, 1, 1}, IdMapping{1, 100, 10}, IdMapping{11, 110, 5}));
}

TEST(MakeIdMap, CutsARangeThatGoesBeyondTheLastId) {
  const auto map = make_id_map(1, {{0xfffffff0, 1000}});
  ASSERT_EQ(map.size(), 2U);
  EXPECT_EQ(map[1].outside + map[1].count, 0xffffffffU);
}

TEST(MakeIdMap, HasNoMoreLinesThanTheKernelTakes) {
  std::vector<IdRange> many;
  for (std::uint64_t i = 0; i < 1000; ++i) many.push_back({100000 + 10 * i, 5});
  EXPECT_EQ(make_id_map(1, many).size(), 340U);
}

TEST(HelperArguments, NameTheProcessAndEveryLine) {
  EXPECT_THAT(helper_arguments(77, make_id_map(1000, {{100000, 65536}})),
              ElementsAre("77", "0", "1000", "1", "1", "100000", "65536"));
}

MapInput alice() {
  return {{"alice", 1000, 1001}, {{100000, 65536}}, {{200000, 65536}}, "bob:100000:65536\n", ""};
}

TEST(PlanMaps, MapsUsersAndGroupsByTheirOwnRanges) {
  const auto plan = plan_maps(alice());
  EXPECT_FALSE(plan.one_id);
  EXPECT_THAT(plan.warnings, IsEmpty());
  EXPECT_THAT(plan.users, ElementsAre(IdMapping{0, 1000, 1}, IdMapping{1, 100000, 65536}));
  EXPECT_THAT(plan.groups, ElementsAre(IdMapping{0, 1001, 1}, IdMapping{1, 200000, 65536}));
}

TEST(PlanMaps, WithoutARangeMapsOneIdAndNamesTheFileAndTheCommand) {
  auto in = alice();
  in.groups.clear();
  const auto plan = plan_maps(in);
  EXPECT_TRUE(plan.one_id);
  EXPECT_THAT(plan.users, ElementsAre(IdMapping{0, 1000, 1}));
  EXPECT_THAT(plan.warnings,
              ElementsAre(HasSubstr("alice has no range in /etc/subgid; an administrator can add "
                                    "one with usermod --add-subuids 165536-231071 --add-subgids "
                                    "165536-231071 alice")));
}

TEST(PlanMaps, WarnsOfARangeThatIsShorterThanWhatImagesUse) {
  auto in = alice();
  in.users = {{100000, 999}};
  const auto plan = plan_maps(in);
  EXPECT_FALSE(plan.one_id);
  EXPECT_THAT(plan.warnings, ElementsAre(HasSubstr("alice has 1000 ids")));
}

TEST(ProposeRange, IsAboveEveryRangeOfEitherFile) {
  EXPECT_EQ(propose_range("", ""), "100000-165535");
  EXPECT_EQ(propose_range("a:100000:65536\n", "b:231072:65536\n# comment\nbroken:x\n"),
            "296608-362143");
}

}  // namespace
}  // namespace coracle::rootless
