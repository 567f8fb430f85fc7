#include "engine/monitor/streams/log_writer.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/base/utf8.hpp"
#include "engine/monitor/streams/detach_keys.hpp"

namespace coracle::monitor {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class LogWriterTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { (void)remove_tree(dir_); }
  std::string path() const { return dir_ + "/log"; }
  LogWriter open(LogOptions options = {}) {
    options.path = path();
    auto w = LogWriter::open(options);
    EXPECT_TRUE(w.has_value());
    return *std::move(w);
  }
  std::string text(const std::string& suffix = "") const { return *read_file(path() + suffix); }

  std::string dir_ = "/tmp/log_writer_XXXXXX";
};

UniqueFd listen_datagrams(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}
std::string receive(const UniqueFd& fd) {
  std::string text(100'000, '\0');
  const ssize_t n = ::recv(fd.get(), text.data(), text.size(), 0);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return text;
}

std::string json_string(std::string_view s) {
  std::string out;
  append_json_string(out, s, JsonStyle::log);
  return out;
}

TEST_F(LogWriterTest, WritesDockersLineForEachLineOfOutput) {
  auto w = open();
  w.write(Stream::out, "one\ntwo");
  w.write(Stream::err, "three\n");
  w.write(Stream::out, " and a half\n");
  EXPECT_THAT(
      text(),
      MatchesRegex(
          "\\{\"log\":\"one\\\\n\",\"stream\":\"stdout\",\"time\":\"20[0-9T:.-]+Z\"\\}\n"
          "\\{\"log\":\"three\\\\n\",\"stream\":\"stderr\",\"time\":\"[0-9T:.-]+Z\"\\}\n"
          "\\{\"log\":\"two and a half\\\\n\",\"stream\":\"stdout\",\"time\":\"[^\"]+\"\\}\n"));
  struct stat st {};
  ASSERT_EQ(::stat(path().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0640U);
}

TEST_F(LogWriterTest, WritesAnUnfinishedLineAtTheEndWithoutANewline) {
  auto w = open();
  w.write(Stream::out, "prompt> ");
  EXPECT_EQ(text(), "");
  w.finish();
  EXPECT_THAT(text(), HasSubstr(R"({"log":"prompt\u003e ","stream":"stdout")"));
}

TEST_F(LogWriterTest, SplitsLongLinesAt16KiBButNotInsideACharacter) {
  auto w = open();
  // 16383 bytes, then a character of two bytes that would lie across the cut.
  w.write(Stream::out, std::string(16383, 'a') + "\xC3\xA9" + std::string(10, 'b') + "\n");
  w.write(Stream::out, std::string(16384, 'c') + "\n");
  EXPECT_THAT(text(), HasSubstr(std::string(16383, 'a') + "\",\"stream\""));
  EXPECT_THAT(text(), HasSubstr("{\"log\":\"\xC3\xA9"
                                "bbbbbbbbbb\\n\""));
  EXPECT_THAT(text(), HasSubstr("{\"log\":\"" + std::string(16384, 'c') + "\\n\""));
}

// Systemd's protocol, on a socket of our own.
TEST_F(LogWriterTest, WritesAnEntryALineToTheJournal) {
  LogOptions options;
  options.driver = "journald";
  options.path = dir_ + "/journal";
  EXPECT_FALSE(LogWriter::open(options).has_value());
  const auto journal = listen_datagrams(options.path);
  options.attrs = {"CONTAINER_ID=abc", "TEAM=a\nb"};
  auto w = LogWriter::open(options);
  ASSERT_TRUE(w.has_value()) << w.error().message;
  w->write(Stream::out, "one\ntw");
  w->write(Stream::err, std::string(20'000, 'x') + "\n");
  w->finish();
  std::string length(8, '\0');
  length[0] = 3;
  const auto first = receive(journal);
  EXPECT_THAT(first, HasSubstr("CONTAINER_ID=abc\n"));
  EXPECT_THAT(first, HasSubstr("TEAM\n" + length + "a\nb\n"));
  EXPECT_THAT(first, HasSubstr("PRIORITY=6\n"));
  EXPECT_THAT(first, HasSubstr("\nMESSAGE=one\n"));
  EXPECT_THAT(first, ::testing::Not(HasSubstr("PARTIAL")));
  const auto part = receive(journal);
  EXPECT_THAT(part, HasSubstr("PRIORITY=3\nCONTAINER_PARTIAL_MESSAGE=true\n"));
  EXPECT_THAT(part, HasSubstr("MESSAGE=" + std::string(16384, 'x') + "\n"));
  EXPECT_THAT(receive(journal), HasSubstr("MESSAGE=" + std::string(20'000 - 16384, 'x') + "\n"));
  EXPECT_THAT(receive(journal), HasSubstr("MESSAGE=tw\n"));
}

TEST_F(LogWriterTest, AJournalThatTakesNothingLosesLinesAndHoldsNobodyForever) {
  LogOptions options;
  options.driver = "journald";
  options.path = dir_ + "/journal";
  const auto journal = listen_datagrams(options.path);
  auto w = LogWriter::open(options);
  ASSERT_TRUE(w.has_value());
  while (w->lost_lines() == 0) w->write(Stream::out, "line\n");
  receive(journal);
  const auto lost = w->lost_lines();
  w->write(Stream::out, "line\n");
  EXPECT_EQ(w->lost_lines(), lost);
}

TEST_F(LogWriterTest, PutsAttributesBeforeTheTime) {
  LogOptions options;
  options.attrs = {"env=prod", "team=a\"b"};
  auto w = open(options);
  w.write(Stream::out, "x\n");
  EXPECT_THAT(text(),
              HasSubstr(R"("stream":"stdout","attrs":{"env":"prod","team":"a\"b"},"time":)"));
}

TEST(AppendJsonString, EscapesAsDockerDoes) {
  EXPECT_EQ(json_string("a\"\\\n\r\t<&>\x01"), R"("a\"\\\n\r\u0009\u003c\u0026\u003e\u0001")");
  EXPECT_EQ(json_string("\xFF\xC3(\xE2\x82"), R"("\ufffd\ufffd(\ufffd\ufffd")");
  EXPECT_EQ(json_string("\xE2\x82\xAC \xF0\x9F\x98\x80"), "\"\xE2\x82\xAC \xF0\x9F\x98\x80\"");
  EXPECT_EQ(json_string("\xE2\x80\xA8"), R"("\u2028")");
  EXPECT_EQ(json_string("\xC0\xAF\xED\xA0\x80"), R"("\ufffd\ufffd\ufffd\ufffd\ufffd")");
}

TEST_F(LogWriterTest, RotatesByRenamingAndKeepsMaxFiles) {
  LogOptions options;
  options.max_size = 1000;
  options.max_file = 3;
  auto w = open(options);
  for (int i = 0; i < 60; ++i) w.write(Stream::out, fmt::format("line {}\n", i));
  EXPECT_TRUE(exists(path() + ".1"));
  EXPECT_TRUE(exists(path() + ".2"));
  EXPECT_FALSE(exists(path() + ".3"));
  EXPECT_THAT(text(), HasSubstr("line 59"));
  EXPECT_LT(text(".1").size(), 1200U);
  const std::string all = text(".2") + text(".1") + text();
  const auto first = all.find("line ");
  int next = std::stoi(all.substr(first + 5));
  for (auto at = first; at != std::string::npos; at = all.find("line ", at + 1))
    EXPECT_EQ(std::stoi(all.substr(at + 5)), next++);
  EXPECT_EQ(next, 60);
}

TEST_F(LogWriterTest, OneFileBeginsAnewAndDoesNotCutTheOldOne) {
  LogOptions options;
  options.max_size = 200;
  auto w = open(options);
  w.write(Stream::out, std::string(300, 'x') + "\n");
  UniqueFd old(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
  w.write(Stream::out, "second\n");
  EXPECT_THAT(*read_all(old, 10000), HasSubstr("xxx"));
  EXPECT_THAT(text(), HasSubstr("{\"log\":\"second"));
}

TEST_F(LogWriterTest, AFullDiskLosesLinesAndIsTriedAgain) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  ASSERT_EQ(::symlink("/dev/full", path().c_str()), 0);
  auto w = open();
  w.write(Stream::out, "a\nb\n");
  EXPECT_EQ(w.lost_lines(), 2U);
  ASSERT_EQ(::unlink(path().c_str()), 0);
  // The descriptor was dropped, since what stands in /dev/full cannot be cut back.
  w.write(Stream::out, "c\n");
  EXPECT_EQ(w.lost_lines(), 2U);
  EXPECT_THAT(text(), HasSubstr("{\"log\":\"c"));
}

TEST_F(LogWriterTest, RefusesAnUnknownDriver) {
  LogOptions options;
  options.driver = "syslog";
  options.path = path();
  const auto w = LogWriter::open(options);
  ASSERT_FALSE(w.has_value());
  EXPECT_EQ(w.error().code, Errc::invalid_argument);
}

TEST(DetachKeysTest, DetachesAtTheWholeSequenceAndGivesBackABrokenOne) {
  DetachKeys keys({16, 17});
  EXPECT_EQ(keys.pass("ab\x10").text, "ab");
  EXPECT_EQ(keys.pass("c").text,
            "\x10"
            "c");
  auto passed = keys.pass(
      "x\x10\x10\x11"
      "behind");
  EXPECT_EQ(passed.text, "x\x10");
  EXPECT_TRUE(passed.detached);
  EXPECT_EQ(DetachKeys().pass("\x10\x11").text, "\x10\x11");
}

}  // namespace
}  // namespace coracle::monitor
