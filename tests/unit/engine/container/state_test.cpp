#include "engine/container/state.hpp"

#include <map>

#include <gtest/gtest.h>

namespace coracle {
namespace {

constexpr Status kAll[] = {Status::created,  Status::running, Status::paused, Status::restarting,
                           Status::removing, Status::exited,  Status::dead};

// In the order of kAll: g go, u unchanged (304), c conflict (409).
const std::map<Operation, const char*> kTable = {
    {Operation::start, "gucucgc"},  {Operation::stop, "ugggcuu"},    {Operation::kill, "cgggccc"},
    {Operation::pause, "cgccccc"},  {Operation::unpause, "ccgcccc"}, {Operation::update, "ggggcgc"},
    {Operation::exec, "cgccccc"},   {Operation::attach, "ggcccgg"},  {Operation::resize, "cgccccc"},
    {Operation::rename, "ggggcgc"}, {Operation::remove, "gccccgg"},
};

TEST(State, EveryOperationInEveryStateAnswersAsDockerd) {
  for (const auto& [operation, verdicts] : kTable) {
    for (std::size_t i = 0; i < std::size(kAll); ++i) {
      const auto verdict = may(operation, kAll[i]);
      const char expected = verdicts[i];
      const char got = verdict == Verdict::go ? 'g' : verdict == Verdict::unchanged ? 'u' : 'c';
      EXPECT_EQ(got, expected) << "operation " << static_cast<int>(operation) << " in "
                               << name_of(kAll[i]);
      const auto answer = permit(operation, kAll[i], "id", "name");
      EXPECT_EQ(answer.has_value(), expected == 'g');
      if (!answer) {
        EXPECT_EQ(answer.error().code, expected == 'u' ? Errc::unchanged : Errc::conflict);
      }
    }
  }
}

TEST(State, ConflictsCarryDockersTexts) {
  EXPECT_EQ(permit(Operation::kill, Status::exited, "abc", "web").error().message,
            "container abc is not running");
  EXPECT_EQ(permit(Operation::remove, Status::running, "abc", "web").error().message,
            "cannot remove container \"web\": container is running: stop the container before "
            "removing or force remove");
  EXPECT_EQ(permit(Operation::remove, Status::removing, "abc", "web").error().message,
            "removal of container web is already in progress");
  EXPECT_EQ(permit(Operation::start, Status::paused, "abc", "web").error().message,
            "cannot start a paused container, try unpause instead");
  EXPECT_EQ(permit(Operation::exec, Status::paused, "abc", "web").error().message,
            "Container abc is paused, unpause the container before exec");
  EXPECT_EQ(permit(Operation::pause, Status::paused, "abc", "web").error().message,
            "Container abc is already paused");
  EXPECT_EQ(permit(Operation::pause, Status::exited, "abc", "web").error().message,
            "Container abc is not running");
  EXPECT_EQ(permit(Operation::unpause, Status::running, "abc", "web").error().message,
            "Container abc is not paused");
  EXPECT_EQ(permit(Operation::remove, Status::paused, "abc", "web").error().message,
            "cannot remove container \"web\": container is paused and must be unpaused first");
  EXPECT_EQ(permit(Operation::remove, Status::restarting, "abc", "web").error().message,
            "cannot remove container \"web\": container is restarting: stop the container before "
            "removing or force remove");
}

}  // namespace
}  // namespace coracle
