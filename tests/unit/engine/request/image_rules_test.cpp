#include "engine/request/image_rules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace coracle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Time second(std::int64_t n) { return {n * 1'000'000'000}; }

storage::Image image(Time created, std::vector<std::string> tags = {}) {
  storage::Image out;
  out.created = created;
  out.repo_tags = std::move(tags);
  return out;
}

// "3" is an image of the third second.
Result<storage::Image> by_second(const std::string& name) {
  if (name == "none") return fail(Errc::not_found, "No such image: none");
  return image(second(std::stoi(name)));
}

// The seconds of 0 to 9 that the filters leave.
std::vector<int> left(const Filters& filters) {
  const auto window = window_of(filters, second(20), by_second);
  std::vector<int> out;
  for (int i = 0; window && i < 10; ++i) {
    if (window->holds(second(i))) out.push_back(i);
  }
  return out;
}

TEST(ImageRules, SeveralMomentsMeanTheirCommonPart) {
  EXPECT_THAT(left({{"before", {"3", "5"}}}), ElementsAre(0, 1, 2));
  EXPECT_THAT(left({{"before", {"5", "3"}}}), ElementsAre(0, 1, 2));
  EXPECT_THAT(left({{"since", {"6", "7"}}}), ElementsAre(8, 9));
  EXPECT_THAT(left({{"since", {"7", "6"}}}), ElementsAre(8, 9));
  EXPECT_THAT(left({{"until", {"2", "4", "3"}}}), ElementsAre(0, 1));
  EXPECT_THAT(left({{"until", {"18s", "17s", "19s"}}}), ElementsAre(0));
  EXPECT_THAT(left({{"before", {"4"}}, {"since", {"1"}}, {"until", {"9"}}}), ElementsAre(2, 3));
  EXPECT_THAT(left({{"before", {"9"}}, {"until", {"2"}}}), ElementsAre(0, 1));
  EXPECT_THAT(left({}), testing::SizeIs(10));
}

TEST(ImageRules, AMomentThatIsNoneIsAnError) {
  EXPECT_FALSE(window_of({{"until", {"2", "soon"}}}, second(20), by_second));
  const auto missing = window_of({{"before", {"3", "none"}}}, second(20), by_second);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
}

TEST(ImageRules, ANameWithoutATagIsAllTagsOfItsRepository) {
  const std::vector<storage::Image> images = {
      image({}, {"box:1", "box:two", "boxes:1", "other/box:1"}),
      image({}, {"box:3", "localhost:5000/box:1"}),
      image({}, {"localhost:5000/box:2"}),
      image({}),
  };
  EXPECT_THAT(tags_of_repository(images, "box"), ElementsAre("box:1", "box:two", "box:3"));
  EXPECT_THAT(tags_of_repository(images, "docker.io/library/box"),
              ElementsAre("box:1", "box:two", "box:3"));
  EXPECT_THAT(tags_of_repository(images, "localhost:5000/box"),
              ElementsAre("localhost:5000/box:1", "localhost:5000/box:2"));
  EXPECT_THAT(tags_of_repository(images, "localhost"), IsEmpty());
  EXPECT_THAT(tags_of_repository(images, "box:1"), IsEmpty());
  EXPECT_THAT(tags_of_repository(images, "box@sha256:" + std::string(64, 'a')), IsEmpty());
  EXPECT_THAT(tags_of_repository(images, std::string(64, 'a')), IsEmpty());
  EXPECT_THAT(tags_of_repository(images, "Box"), IsEmpty());
}

TEST(ImageRules, APruneLeavesAnImageInUseItsLastName) {
  auto one = image({}, {"b:1", "me/a:2", "h:5000/x:1", "c:1"});
  one.id = "sha256:1";
  EXPECT_THAT(pruned_names(one, false), ElementsAre("sha256:1"));
  // docker.io/library/b, docker.io/library/c, docker.io/me/a, h:5000/x
  EXPECT_THAT(pruned_names(one, true), ElementsAre("b:1", "c:1", "me/a:2"));
  EXPECT_THAT(pruned_names(image({}, {"b:1"}), true), IsEmpty());
  EXPECT_THAT(pruned_names(image({}), true), IsEmpty());
}

}  // namespace
}  // namespace coracle
