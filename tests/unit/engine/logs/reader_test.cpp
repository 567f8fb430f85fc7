#include "engine/logs/reader.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/logs/files.hpp"
#include "engine/monitor/streams/log_writer.hpp"

namespace coracle {
namespace {

using monitor::LogWriter;
using monitor::Stream;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class LogReaderTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { (void)remove_tree(dir_); }
  std::string path() const { return dir_ + "/log"; }
  LogWriter writer(std::int64_t max_size = 0, int max_file = 1, bool compress = false) const {
    monitor::LogOptions options;
    options.path = path();
    options.max_size = max_size;
    options.max_file = max_file;
    options.compress = compress;
    options.attrs = attrs_;
    auto w = LogWriter::open(options);
    EXPECT_TRUE(w.has_value());
    return *std::move(w);
  }
  // As the monitor does on SIGCHLD; `all`: waits until no child is left.
  static void take_child(LogWriter& w, bool all) {
    while (w.helper() != 0) {
      int status = 0;
      const pid_t pid = ::waitpid(w.helper(), &status, all ? 0 : WNOHANG);
      if (pid <= 0) return;
      EXPECT_TRUE(w.child_ended(pid, status));
    }
  }
  // Nothing is young any more.
  void age_all() const {
    const auto names = list_dir(dir_);
    ASSERT_TRUE(names);
    const std::array<timespec, 2> long_ago{timespec{1, 0}, timespec{1, 0}};
    for (const auto& name : *names)
      ::utimensat(AT_FDCWD, (dir_ + "/" + name).c_str(), long_ago.data(), 0);
  }
  static LogOptions both() {
    LogOptions o;
    o.out = o.err = true;
    return o;
  }
  std::vector<LogEntry> entries(const LogOptions& options) const {
    LogFiles files(path(), options);
    std::vector<LogEntry> all;
    for (;;) {
      auto some = files.read();
      EXPECT_TRUE(some.has_value());
      if (some->empty()) break;
      for (auto& e : *some) all.push_back(std::move(e));
    }
    for (auto& e : files.take_unfinished()) all.push_back(std::move(e));
    return all;
  }
  std::vector<std::string> texts(const LogOptions& options) const {
    std::vector<std::string> all;
    for (auto& e : entries(options)) all.push_back(e.text);
    return all;
  }

  std::string dir_ = "/tmp/log_reader_XXXXXX";
  std::vector<std::string> attrs_;
};

TEST_F(LogReaderTest, ReadsWhatTheWriterWrote) {
  attrs_ = {"b=2", "a=1"};
  auto w = writer();
  const std::string odd = "tab\t <b>&\"\\ \xE2\x82\xAC \x01\r\n";
  w.write(Stream::out, odd);
  w.write(Stream::err, "no end");
  w.finish();
  const auto all = entries(both());
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].text, odd);
  EXPECT_FALSE(all[0].is_err);
  EXPECT_THAT(all[0].attrs, ElementsAre("a=1", "b=2"));
  EXPECT_EQ(all[1].text, "no end");
  EXPECT_TRUE(all[1].is_err);
  EXPECT_GT(all[1].time, all[0].time);
}

TEST_F(LogReaderTest, ChoosesByStreamTimeAndTail) {
  auto w = writer();
  for (int i = 0; i < 10; ++i)
    w.write(i % 2 == 0 ? Stream::out : Stream::err, fmt::format("{}\n", i));
  auto o = both();
  o.err = false;
  EXPECT_THAT(texts(o), ElementsAre("0\n", "2\n", "4\n", "6\n", "8\n"));
  o.tail = 2;
  EXPECT_THAT(texts(o), ElementsAre("6\n", "8\n"));
  o.tail = 0;
  EXPECT_THAT(texts(o), IsEmpty());
  o = both();
  o.tail = 100;
  EXPECT_EQ(texts(o).size(), 10U);
  const auto all = entries(both());
  o = both();
  o.since = all[3].time;
  o.until = all[5].time;
  EXPECT_THAT(texts(o), ElementsAre("3\n", "4\n", "5\n"));
}

TEST_F(LogReaderTest, JoinsThePartsOfLongLinesOfBothStreams) {
  auto w = writer();
  const std::string a(50000, 'a');
  const std::string b(40000, 'b');
  w.write(Stream::out, "first\n" + a.substr(0, 30000));
  w.write(Stream::err, b + "\n");
  w.write(Stream::out, a.substr(30000) + "\n");
  w.write(Stream::out, "last\n");
  EXPECT_THAT(texts(both()), ElementsAre("first\n", b + "\n", a + "\n", "last\n"));
  auto o = both();
  o.err = false;
  o.tail = 2;
  EXPECT_THAT(texts(o), ElementsAre(a + "\n", "last\n"));
}

TEST_F(LogReaderTest, LeavesOutDamagedLinesOnly) {
  auto w = writer();
  w.write(Stream::out, "one\n");
  {
    UniqueFd fd(::open(path().c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    ASSERT_TRUE(
        write_all(fd, std::string("{\"log\":\"cut of\n\0\0\0\nnull\n[]\n", 27)).has_value());
    // Another writer's order of fields.
    ASSERT_TRUE(
        write_all(fd,
                  "{\"time\":\"2026-01-01T00:00:00Z\",\"stream\":\"stderr\",\"log\":\"two\\n\"}\n")
            .has_value());
  }
  w.write(Stream::out, "three\n");
  EXPECT_THAT(texts(both()), ElementsAre("one\n", "two\n", "three\n"));
}

TEST_F(LogReaderTest, ALogThatDoesNotExistIsEmpty) { EXPECT_THAT(texts(both()), IsEmpty()); }

TEST_F(LogReaderTest, ReadsRotatedFilesInOrderAndTailsAcrossThem) {
  auto w = writer(2000, 5);
  for (int i = 0; i < 90; ++i) w.write(Stream::out, fmt::format("{}\n", i));
  ASSERT_TRUE(exists(path() + ".3"));
  const auto all = texts(both());
  ASSERT_GT(all.size(), 60U);
  EXPECT_EQ(all.back(), "89\n");
  for (std::size_t i = 1; i < all.size(); ++i)
    EXPECT_EQ(std::stoi(all[i]), std::stoi(all[i - 1]) + 1);
  auto o = both();
  o.tail = 55;
  const auto tail = texts(o);
  ASSERT_EQ(tail.size(), 55U);
  EXPECT_EQ(tail.front(), "35\n");
}

TEST_F(LogReaderTest, TailOfALargeLogIsQuick) {
  auto w = writer();
  const std::string line(200, 'x');
  std::string block;
  for (int i = 0; i < 1000; ++i) block += line + "\n";
  for (int i = 0; i < 250; ++i) w.write(Stream::out, block);  // about 65 MB
  w.write(Stream::out, "a\nb\nc\n");
  auto o = both();
  o.tail = 3;
  // To read all of it takes longer on any machine; on a loaded one some of the times are those of
  // others.
  auto least = std::chrono::steady_clock::duration::max();
  for (int i = 0; i < 1000 && least >= std::chrono::milliseconds(50); ++i) {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(texts(o), ElementsAre("a\n", "b\n", "c\n"));
    least = std::min(least, std::chrono::steady_clock::now() - begin);
  }
  EXPECT_LT(least, std::chrono::milliseconds(50));
}

// --- following ---

struct Follow {
  asio::io_context io;
  Scope scope{io};
  Workers workers{io, 1};
  LogWatch watch{io, scope};
  std::vector<std::string> seen;
  bool ended = false;
};

Coro<void> collect(Follow& f, std::shared_ptr<LogReader> reader) {
  for (;;) {
    auto some = co_await reader->next();
    EXPECT_TRUE(some.has_value());
    if (!some || some->empty()) break;
    for (auto& e : *some) f.seen.push_back(e.text);
  }
  f.ended = true;
}

TEST_F(LogReaderTest, FollowsFromBeforeTheFirstLineOverRotationsToTheEnd) {
  constexpr int kLines = 3000;
  for (const int max_file : {4, 1}) {
    Follow f;
    auto options = both();
    options.follow = true;
    auto reader = std::make_shared<LogReader>(f.io, f.workers, f.watch, path(), options);
    f.scope.start("collect", collect(f, reader));
    f.io.run_for(std::chrono::milliseconds(20));
    EXPECT_THAT(f.seen, IsEmpty());
    auto w = writer(20000, max_file);
    for (int i = 0; i < kLines; ++i) {
      w.write(Stream::out, fmt::format("{}\n", i));
      if (i % 100 != 99) continue;
      // The reader keeps up with every second file at least.
      for (int k = 0; k < 12'000 && f.seen.size() <= static_cast<std::size_t>(i); ++k)
        f.io.run_for(std::chrono::milliseconds(5));
    }
    reader->finish();
    for (int k = 0; k < 12'000 && !f.ended; ++k) f.io.run_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(f.ended);
    ASSERT_EQ(f.seen.size(), kLines) << "max_file " << max_file;
    for (int i = 0; i < kLines; ++i)
      EXPECT_EQ(f.seen.at(static_cast<std::size_t>(i)), fmt::format("{}\n", i));
    f.scope.cancel();
    while (f.scope.running() > 0) f.io.run_for(std::chrono::milliseconds(1));
    for (int n = 1; n < 5; ++n) ::unlink(fmt::format("{}.{}", path(), n).c_str());
    ::unlink(path().c_str());
  }
}

// Written faster than anybody could read, through more files than may stay.
TEST_F(LogReaderTest, FollowsABurstOverRotationsWithoutLossOrRepetition) {
  constexpr int kLines = 20'000;
  for (const bool compress : {false, true}) {
    Follow f;
    auto options = both();
    options.follow = true;
    auto w = writer(150'000, 3, compress);
    w.write(Stream::out, "0\n");
    auto reader = std::make_shared<LogReader>(f.io, f.workers, f.watch, path(), options);
    f.scope.start("collect", collect(f, reader));
    for (int i = 1; i < kLines; ++i) {
      w.write(Stream::out, fmt::format("{}\n", i));
      if (i % 500 != 0) continue;
      f.io.run_for(std::chrono::milliseconds(1));
      take_child(w, false);
    }
    reader->finish();
    for (int k = 0; k < 12'000 && !f.ended; ++k) {
      f.io.run_for(std::chrono::milliseconds(5));
      take_child(w, false);
    }
    ASSERT_TRUE(f.ended);
    ASSERT_EQ(f.seen.size(), kLines);
    for (int i = 0; i < kLines; ++i)
      ASSERT_EQ(f.seen.at(static_cast<std::size_t>(i)), fmt::format("{}\n", i));
    reader.reset();
    f.scope.cancel();
    while (f.scope.running() > 0) f.io.run_for(std::chrono::milliseconds(1));
    take_child(w, true);
    // Nobody follows any more: only what may stay stays.
    w.trim();
    EXPECT_TRUE(exists(path() + ".1") || exists(path() + ".1.gz"));
    EXPECT_FALSE(exists(path() + ".3") || exists(path() + ".3.gz"));
    for (const char* suffix : {"", ".1", ".2", ".1.gz", ".2.gz"})
      ::unlink((path() + suffix).c_str());
  }
}

// As a follower whose client is stopped: nothing is read while the log is rotated again and again,
// and the grace for young files is long over.
TEST_F(LogReaderTest, AFollowerThatIsHeldUpLosesNothing) {
  constexpr int kLines = 20'000;
  for (const bool compress : {false, true}) {
    auto w = writer(150'000, 3, compress);
    w.write(Stream::out, "0\n");
    auto options = both();
    options.follow = true;
    const UniqueFd directory(::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::flock(directory.get(), LOCK_SH), 0);  // as LogReader does
    std::vector<std::string> seen;
    {
      LogFiles files(path(), options);
      const auto read_all = [&] {
        for (;;) {
          const auto some = files.read();
          ASSERT_TRUE(some.has_value());
          if (some->empty()) break;
          for (const auto& e : *some) seen.push_back(e.text);
        }
      };
      read_all();
      EXPECT_THAT(seen, ElementsAre("0\n"));
      for (int i = 1; i < kLines; ++i) {
        w.write(Stream::out, fmt::format("{}\n", i));
        if (i % 500 == 0) {
          age_all();
          w.trim();
          take_child(w, true);
        }
      }
      read_all();
      w.trim();
      read_all();
    }
    ASSERT_EQ(seen.size(), kLines);
    for (int i = 0; i < kLines; ++i)
      ASSERT_EQ(seen.at(static_cast<std::size_t>(i)), fmt::format("{}\n", i));
    // It has gone: what was kept for it goes too, and what stays is compressed.
    take_child(w, true);
    w.trim();
    take_child(w, true);
    EXPECT_FALSE(exists(path() + ".3") || exists(path() + ".3.gz"));
    EXPECT_EQ(exists(path() + ".1.gz"), compress);
    for (const char* suffix : {"", ".1", ".2", ".1.gz", ".2.gz"})
      ::unlink((path() + suffix).c_str());
  }
}

TEST_F(LogReaderTest, ReadsCompressedFiles) {
  auto w = writer(20'000, 4, true);
  int written = 0;
  while (!exists(path() + ".3.gz")) {
    ASSERT_LT(written, 10'000);
    w.write(Stream::out, fmt::format("{}\n", written++));
    take_child(w, true);
  }
  EXPECT_FALSE(exists(path() + ".1") || exists(path() + ".2") || exists(path() + ".gz-new"));
  const auto all = texts(both());
  ASSERT_EQ(all.size(), written);
  EXPECT_EQ(all.front(), "0\n");
  auto options = both();
  options.tail = 700;  // about 235 are in a file
  const auto tail = texts(options);
  ASSERT_EQ(tail.size(), 700);
  EXPECT_EQ(tail.front(), fmt::format("{}\n", written - 700));
  EXPECT_EQ(tail.back(), fmt::format("{}\n", written - 1));
}

TEST_F(LogReaderTest, WhatAKilledMonitorLeftOfACompressionIsTidiedUp) {
  {
    auto w = writer(20'000, 4, true);
    for (int i = 0; i < 300; ++i) w.write(Stream::out, fmt::format("{}\n", i));
    ASSERT_NE(w.helper(), 0);
    ::waitpid(w.helper(), nullptr, 0);  // its end is seen by nobody
  }
  EXPECT_TRUE(exists(path() + ".1"));
  EXPECT_TRUE(exists(path() + ".gz-new"));
  EXPECT_EQ(texts(both()).size(), 300);
  auto w = writer(20'000, 4, true);
  take_child(w, true);
  EXPECT_FALSE(exists(path() + ".1"));
  EXPECT_TRUE(exists(path() + ".1.gz"));
  EXPECT_FALSE(exists(path() + ".gz-new"));
  EXPECT_EQ(texts(both()).size(), 300);
}

TEST_F(LogReaderTest, AFollowerEndsAtUntilAndWhenItIsCancelled) {
  auto w = writer();
  w.write(Stream::out, "one\n");
  Follow f;
  auto options = both();
  options.follow = true;
  options.until = Time{now().ns + 50'000'000};
  f.scope.start("until",
                collect(f, std::make_shared<LogReader>(f.io, f.workers, f.watch, path(), options)));
  for (int k = 0; k < 12'000 && !f.ended; ++k) f.io.run_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(f.ended);
  EXPECT_THAT(f.seen, ElementsAre("one\n"));

  f.ended = false;
  options.until = Time{};
  f.scope.start("cancelled",
                collect(f, std::make_shared<LogReader>(f.io, f.workers, f.watch, path(), options)));
  f.io.run_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(f.ended);
  f.scope.cancel();
  for (int k = 0; k < 12'000 && !f.ended; ++k) f.io.run_for(std::chrono::milliseconds(5));
  EXPECT_TRUE(f.ended);
}

}  // namespace
}  // namespace coracle
