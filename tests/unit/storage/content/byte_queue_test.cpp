#include "storage/content/byte_queue.hpp"

#include <array>
#include <thread>

#include <gtest/gtest.h>

namespace coracle::storage {
namespace {

TEST(ByteQueue, HoldsTheWriterBackAndCallsItWhenThereIsRoom) {
  ByteQueue queue(8);
  int called = 0;
  queue.on_room([&called] { ++called; });
  EXPECT_EQ(queue.push("123456"), ByteQueue::Push::taken);
  EXPECT_EQ(queue.push("789"), ByteQueue::Push::full);
  std::array<char, 3> some{};
  ASSERT_EQ(queue.read(some).value_or(0), 3U);
  EXPECT_EQ(called, 1);
  EXPECT_EQ(queue.push("789"), ByteQueue::Push::taken);
  queue.end({});
  std::array<char, 16> rest{};
  ASSERT_EQ(queue.read(rest).value_or(0), 6U);
  EXPECT_EQ(std::string(rest.data(), 6), "456789");
  EXPECT_EQ(queue.read(rest).value_or(1), 0U);
}

TEST(ByteQueue, TakesAPieceAboveItsCapacityWhenItIsEmpty) {
  ByteQueue queue(2);
  EXPECT_EQ(queue.push("12345"), ByteQueue::Push::taken);
  EXPECT_EQ(queue.push("6"), ByteQueue::Push::full);
}

TEST(ByteQueue, TellsTheReaderWhyItEndedAfterWhatWasThere) {
  ByteQueue queue(8);
  queue.push("1");
  queue.end(fail(Errc::unavailable, "cut"));
  queue.end({});  // the first counts
  std::array<char, 4> some{};
  EXPECT_EQ(queue.read(some).value_or(0), 1U);
  const auto end = queue.read(some);
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().message, "cut");
}

TEST(ByteQueue, TellsTheWriterThatTheReaderIsGone) {
  ByteQueue queue(2);
  int called = 0;
  queue.on_room([&called] { ++called; });
  queue.push("12");
  EXPECT_EQ(queue.push("3"), ByteQueue::Push::full);
  queue.leave();
  EXPECT_EQ(called, 1);
  EXPECT_EQ(queue.push("3"), ByteQueue::Push::gone);
}

TEST(ByteQueue, WakesAReaderThatWaits) {
  ByteQueue queue(8);
  std::array<char, 4> some{};
  std::size_t n = 0;
  std::thread reader([&] { n = queue.read(some).value_or(0); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // chance: it waits by then
  queue.push("ab");
  reader.join();
  EXPECT_EQ(n, 2U);
}

}  // namespace
}  // namespace coracle::storage
