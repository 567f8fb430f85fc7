#include "storage/archive/peer_stream.hpp"

#include <sys/socket.h>

#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "engine/base/process/process.hpp"

namespace coracle::storage {
namespace {

TEST(PeerSource, ASenderThatBreaksOffIsAnErrorAndStaysOne) {
  auto pair = make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair && write_all(pair->b, "half") && write_all(pair->a, "w"));
  pair->b.reset();  // with a byte unread
  const std::atomic<bool> stop = false;
  PeerSource source(pair->a, stop);
  std::string piece(100, ' ');
  EXPECT_EQ(source.read(piece), 4U);
  for (int i = 0; i < 2; ++i) {
    const auto n = source.read(piece);
    ASSERT_FALSE(n);
    EXPECT_EQ(n.error().sys, ECONNRESET);
    EXPECT_EQ(n.error().code, Errc::invalid_argument);
  }
}

TEST(PeerSource, EndsWhenItIsToldTo) {
  auto pair = make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  std::atomic<bool> stop = false;
  PeerSource source(pair->a, stop);
  Result<std::size_t> got = 1;
  std::thread reader([&] {
    std::string piece(100, ' ');
    got = source.read(piece);
  });
  stop = true;
  reader.join();
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable);
}

TEST(PeerSink, EndsWhenItIsToldTo) {
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  std::atomic<bool> stop = false;
  Result<> done;
  std::thread writer([&] {
    auto sink = peer_sink(pipe->write, stop);
    done = (*sink)(std::string(1'000'000, 'x'));  // more than a pipe takes
  });
  stop = true;
  writer.join();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::unavailable);
}

TEST(PeerSink, AReaderThatHasGoneIsAnError) {
  ignore_sigpipe();
  auto pipe = make_pipe();
  ASSERT_TRUE(pipe);
  const std::atomic<bool> stop = false;
  auto sink = peer_sink(pipe->write, stop);
  ASSERT_TRUE(sink);
  pipe->read.reset();
  EXPECT_FALSE((*sink)("x"));
}

TEST(ArchiveWriter, AFileThatIsAllHolesCanBeStopped) {
  const std::atomic<bool> stop = true;
  ArchiveWriter writer([](std::string_view) { return Result<>{}; });
  writer.stop_with(stop);
  ArchiveEntry entry;
  entry.path = "holes";
  entry.type = S_IFREG;
  entry.size = std::int64_t{1} << 50;
  char name[] = "/tmp/holes-XXXXXX";
  const UniqueFd fd(::mkstemp(name));
  ::unlink(name);
  const auto done = writer.entry(entry, &fd);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::unavailable);
}

}  // namespace
}  // namespace coracle::storage
