// Archives both ways: bodies that are cut, clients that stall or leave.
#include <thread>

#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

constexpr const char* kPut = "PUT /containers/web/archive?path=/ HTTP/1.1\r\nHost: x\r\n";

class Archives : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    engine().files().copy_takes = 1024;
    engine().images().all["busybox:1"].id = "sha256:1";
    ContainerView web;
    web.id = "abc";
    engine().containers().all["web"] = web;
  }
};

TEST_F(Archives, ACopyInOfAWholeBodyIsDone) {
  auto client = connect();
  client.send(std::string(kPut) + "Content-Length: 5000\r\n\r\n" + std::string(5000, 't'));
  EXPECT_EQ(client.read().status, 200);
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
}

// More than is read at once, in chunks of each length, and a request right behind.
TEST_F(Archives, ManyChunksAtOnceAreOneBody) {
  std::string chunks;
  std::string whole;
  for (std::size_t size = 1; whole.size() < 400'000; size = size % 50'000 * 3 + 1) {
    const std::string piece(size, static_cast<char>('a' + size % 26));
    chunks += fmt::format("{:x}\r\n{}\r\n", size, piece);
    whole += piece;
  }
  engine().files().copy_takes = whole.size();
  auto client = connect();
  std::thread sender([&] {
    client.send(std::string(kPut) + "Transfer-Encoding: chunked\r\n\r\n" + chunks +
                "0\r\n\r\nGET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  });
  EXPECT_EQ(client.read().status, 200);
  EXPECT_EQ(client.read().body, "OK");
  sender.join();
  EXPECT_EQ(engine().files().copied, whole);
}

TEST_F(Archives, ABrokenChunkBehindGoodOnesIsAnError) {
  auto client = connect();
  client.send(std::string(kPut) + "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\nzz\r\nabcd\r\n");
  const auto answer = client.read();
  EXPECT_EQ(answer.status, 400);
  EXPECT_TRUE(answer.message().starts_with("malformed request body")) << answer.message();
}

TEST_F(Archives, ABodyThatIsCutIsAnErrorThoughItsReaderWasContent) {
  for (const char* framing :
       {"Content-Length: 5000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n800\r\n"}) {
    auto client = connect();
    client.send(std::string(kPut) + framing + std::string(2048, 't'));
    client.half_close();
    const auto answer = client.read();
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(answer.message(), "the request's body ends too early");
  }
}

TEST_F(Archives, OfABodyThatIsCutTheReaderGetsNoEnd) {
  engine().files().copy_takes = 4000;
  auto client = connect();
  client.send(std::string(kPut) + "Content-Length: 5000\r\n\r\n" + std::string(2048, 't'));
  client.half_close();
  EXPECT_EQ(client.read().message(), "the request's body ends too early");
}

class StalledArchives : public Archives {
 protected:
  void SetUp() override {
    stall = std::chrono::milliseconds(200);
    Archives::SetUp();
  }
};

TEST_F(StalledArchives, AnUploadWhoseNextByteDoesNotComeEnds) {
  engine().files().copy_takes = 4000;
  auto client = connect();
  client.send(std::string(kPut) + "Content-Length: 5000\r\n\r\nt");
  const auto answer = client.read();
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.message(), "the request's body did not arrive in time");
  EXPECT_TRUE(client.at_end());
}

TEST_F(StalledArchives, ASaveWhoseReaderTakesNothingEnds) {
  engine().images().save_bytes = 50'000'000;
  auto client = connect();
  client.send("GET /images/busybox:1/get HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
  EXPECT_TRUE(eventually([&] { return engine().happenings.cancelled.load(); }));
  EXPECT_TRUE(eventually([&] { return connections() == 0; }));
}

TEST_F(StalledArchives, WhatHoldsNoThreadMayWaitForItsReader) {
  engine().streams().log_entries.assign(1, LogEntry{});
  engine().streams().log_entries.front().text = std::string(1'000'000, 'l');
  auto client = connect();
  client.send("GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 200);
  std::this_thread::sleep_for(4 * stall);  // nothing is awaited: it must have no effect
  EXPECT_EQ(connections(), 1U);
}

TEST_F(Archives, AHandlersDefectIsAnErrorForItsClientAlone) {
  auto other = connect();
  other.send("GET /_pi");
  auto client = connect();
  client.send("GET /containers/defect/json HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().status, 500);
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
  other.send("ng HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(other.read().body, "OK");
}

}  // namespace
}  // namespace coracle::test
