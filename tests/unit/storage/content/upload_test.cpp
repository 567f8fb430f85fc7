// What layers go through on their way to a registry: compression, and the queue to the loop.
#include <array>
#include <atomic>
#include <random>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "storage/content/byte_source.hpp"
#include "storage/content/gzip.hpp"
#include "storage/content/upload_queue.hpp"
#include "tests/unit/storage/text_source.hpp"

namespace coracle::storage {
namespace {

std::string compressed(std::string_view text, std::size_t piece) {
  std::string out;
  Gzip gzip([&out](std::string_view bytes) -> Result<> {
    out += bytes;
    return {};
  });
  for (; !text.empty(); text.remove_prefix(std::min(piece, text.size())))
    EXPECT_TRUE(gzip.write(text.substr(0, piece)));
  EXPECT_TRUE(gzip.finish());
  return out;
}

std::string mixed_text(std::size_t size) {
  std::minstd_rand random(7);
  std::string out;
  while (out.size() < size) {
    if (random() % 3 == 0)
      out.append(random() % 5000, 'x');
    else
      for (int i = 0; i < 500; ++i) out += static_cast<char>(random() % 256);
  }
  return out;
}

TEST(Gzip, IsInflatedToWhatItWas) {
  for (const std::size_t size : {0UL, 1UL, 255UL, 300'000UL, 3'000'000UL}) {
    const std::string text = mixed_text(size);
    for (const std::size_t piece : {1000UL, 262'144UL}) {
      const std::string packed = compressed(text, piece);
      TextSource source(packed, 4096);
      const auto plain = inflated(source, compression_of(packed));
      ASSERT_TRUE(plain);
      const auto back = all_of(**plain);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(*back, text);
    }
  }
}

TEST(Gzip, TheSameBytesAreTheSameAgain) {
  const std::string text = mixed_text(2'000'000);
  EXPECT_EQ(compressed(text, 262'144), compressed(text, 262'144));
  EXPECT_LT(compressed(text, 262'144).size(), text.size());
}

TEST(Gzip, AnErrorOfWhoTakesItEndsIt) {
  Gzip gzip([](std::string_view) -> Result<> { return fail(Errc::unavailable, "gone"); });
  Result<> done;
  const std::string text = mixed_text(1'000'000);
  for (int i = 0; i < 10 && done; ++i) done = gzip.write(text);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "gone");
}

TEST(UploadQueue, GivesWhatWasPutInItsOrder) {
  UploadQueue queue(10);
  std::atomic<int> calls{0};
  queue.on_more([&calls] { ++calls; });
  std::array<char, 4> buffer{};
  std::size_t n = 0;
  EXPECT_EQ(queue.take(buffer, &n), UploadQueue::Take::none_yet);
  std::thread writer([&queue] {
    EXPECT_TRUE(queue.push("abcdef"));
    EXPECT_TRUE(queue.push("ghijkl"));
    EXPECT_TRUE(queue.push("m"));  // waits for room
    queue.end({});
  });
  std::string all;
  for (;;) {
    const auto took = queue.take(buffer, &n);
    if (took == UploadQueue::Take::end) break;
    ASSERT_NE(took, UploadQueue::Take::failed);
    all.append(buffer.data(), n);
    if (n == 0) std::this_thread::yield();
  }
  writer.join();
  EXPECT_EQ(all, "abcdefghijklm");
  EXPECT_GE(calls.load(), 1);
}

TEST(UploadQueue, WhatIsThereComesBeforeTheError) {
  UploadQueue queue(10);
  ASSERT_TRUE(queue.push("ab"));
  queue.end(fail(Errc::internal, "the disk"));
  std::array<char, 4> buffer{};
  std::size_t n = 0;
  EXPECT_EQ(queue.take(buffer, &n), UploadQueue::Take::some);
  EXPECT_EQ(queue.take(buffer, &n), UploadQueue::Take::failed);
  EXPECT_TRUE(queue.has_failed());
  EXPECT_EQ(queue.why().message, "the disk");
}

TEST(UploadQueue, AWriterWhoseReaderLeavesIsTold) {
  UploadQueue queue(2);
  ASSERT_TRUE(queue.push("ab"));
  std::thread writer([&queue] {
    const auto pushed = queue.push("c");
    ASSERT_FALSE(pushed);
    EXPECT_EQ(pushed.error().code, Errc::unavailable);
  });
  queue.leave();
  writer.join();
}

}  // namespace
}  // namespace coracle::storage
