// Transport: what every answer has, keep-alive, pipelining, chunks, 100-continue, limits, ends.
#include <chrono>
#include <thread>

#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class Server : public ShimTest {};

TEST_F(Server, PutsDockersHeadersOnEveryAnswer) {
  for (const auto& answer : {ask("GET", "/_ping"), ask("GET", "/nonsense"),
                             ask("POST", "/containers/web/start"), ask("GET", "/v1.99/info")}) {
    EXPECT_EQ(answer.headers.at("server"), "Docker/28.5.2 (linux)");
    EXPECT_EQ(answer.headers.at("api-version"), "1.51");
    EXPECT_EQ(answer.headers.at("ostype"), "linux");
    EXPECT_EQ(answer.headers.at("docker-experimental"), "false");
  }
}

TEST_F(Server, AnswersPingWithTwoBytes) {
  const auto get = ask("GET", "/_ping");
  EXPECT_EQ(get.status, 200);
  EXPECT_EQ(get.body, "OK");
  EXPECT_EQ(get.headers.at("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(get.headers.at("builder-version"), "1");
  EXPECT_EQ(get.headers.at("swarm"), "inactive");
  const auto head = ask("HEAD", "/v1.41/_ping");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "0");
}

TEST_F(Server, NegotiatesVersions) {
  EXPECT_EQ(ask("GET", "/v1.24/version").status, 200);
  EXPECT_EQ(ask("GET", "/v1.51/version").status, 200);
  const auto low = ask("GET", "/v1.12/version");
  EXPECT_EQ(low.status, 400);
  EXPECT_EQ(low.message(),
            "client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade "
            "your client to a newer version");
  const auto high = ask("GET", "/v1.52/version");
  EXPECT_EQ(high.status, 400);
  EXPECT_EQ(high.message(),
            "client version 1.52 is too new. Maximum supported API version is 1.51");
}

TEST_F(Server, AnswersUnknownPathsAndMethodsWith404) {
  for (const auto& answer :
       {ask("GET", "/nonsense"), ask("PUT", "/containers/json"), ask("GET", "/v1.41"),
        ask("GET", "/v1.x/info"), ask("POST", "/containers//start"), ask("GET", "/")}) {
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.body, "{\"message\":\"page not found\"}\n");
    EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  }
  const auto options = ask("OPTIONS", "/any/thing");
  EXPECT_EQ(options.status, 200);
  EXPECT_EQ(options.body, "");
}

TEST_F(Server, ServesPipelinedRequestsInOrder) {
  auto client = connect();
  client.send(
      "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\nGET /nonsense HTTP/1.1\r\nHost: x\r\n\r\n"
      "GET /version HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
  EXPECT_EQ(client.read().status, 404);
  EXPECT_EQ(client.read().json().at("ApiVersion").as_string(), "1.51");
}

TEST_F(Server, TakesARequestByteByByte) {
  auto client = connect();
  for (const char c : std::string("\r\nGET /_ping HTTP/1.1\r\nHost:\r\n\r\n"))
    client.send(std::string_view(&c, 1));
  EXPECT_EQ(client.read().body, "OK");
}

TEST_F(Server, ClosesAfterHttp10AndConnectionClose) {
  for (const char* request : {"GET /_ping HTTP/1.0\r\n\r\n",
                              "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"}) {
    auto client = connect();
    client.send(request);
    EXPECT_EQ(client.read().body, "OK");
    EXPECT_TRUE(client.at_end());
  }
}

TEST_F(Server, ReadsChunkedBodiesAndAsksForThemWith100Continue) {
  auto client = connect();
  client.send(
      "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read(true).status, 100);
  client.send("8\r\n{\"Image\"\r\n5\r\n:\"b\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.read().status, 201);
  EXPECT_EQ(engine().containers().created.config.image, "b");
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
}

// The pauses decide what comes in one piece, not whether it is right.
TEST_F(Server, ReadsChunksByteByByte) {
  auto client = connect();
  for (const std::string_view chunks :
       {"0\r\n\r\n", "00\r\n\r\n", "0;a=b\r\n\r\n", "d\r\n{\"Image\":\"b\"}\r\n0\r\n\r\n",
        "d\r\n{\"Image\":\"b\"}\r\n0\r\nX-Y: z\r\n\r\n"}) {
    client.send(
        "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\n\r\n");
    for (const char& byte : chunks) {
      client.send({&byte, 1});
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    EXPECT_EQ(client.read().status, chunks.starts_with("d") ? 201 : 400) << chunks;
  }
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
}

TEST_F(Server, KeepsTheConnectionWhenTheHandlerLeftTheBody) {
  auto client = connect();
  const std::string body(100'000, 'x');
  client.send("POST /networks/create HTTP/1.1\r\nHost: x\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(client.read().status, 501);
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read().body, "OK");
}

TEST_F(Server, RefusesAHeadThatIsTooLarge) {
  auto client = connect();
  client.send("GET /_ping HTTP/1.1\r\nHost: x\r\nX: " + std::string(70'000, 'a') + "\r\n\r\n");
  const auto answer = client.read();
  EXPECT_EQ(answer.status, 431);
  EXPECT_NE(answer.message(), "");
}

TEST_F(Server, LivesWithManyIdleAndHalfSentConnections) {
  std::vector<Client> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(connect());
    if (i % 2 == 0) clients.back().send("GET /_pi");
  }
  EXPECT_EQ(ask("GET", "/version").status, 200);
  EXPECT_GE(connections(), 200U);  // it was not answered because the others were given up
  clients.clear();
  EXPECT_TRUE(eventually([&] { return connections() == 0; }));
}

class SmallServer : public ShimTest {
 protected:
  void SetUp() override {
    most_connections = 4;
    ShimTest::SetUp();
  }
};

class HastyServer : public ShimTest {
 protected:
  void SetUp() override {
    patience = std::chrono::seconds(1);
    ShimTest::SetUp();
  }
};

TEST_F(SmallServer, LetsFurtherConnectionsWaitUntilOneEnds) {
  std::vector<Client> idle;
  for (int i = 0; i < 4; ++i) {
    idle.push_back(connect());
    idle.back().send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(idle.back().read().body, "OK");
  }
  auto late = connect();
  late.send("GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(connections(), 4u);
  idle.pop_back();
  EXPECT_EQ(late.read().body, "OK");
}

TEST_F(HastyServer, GivesUpOnAHeadThatDoesNotArrive) {
  auto client = connect();
  client.send("GET /_ping HT");
  EXPECT_EQ(client.read().status, 408);
  EXPECT_TRUE(client.at_end());
}

TEST_F(HastyServer, GivesUpOnABodyThatDoesNotArrive) {
  auto client = connect();
  client.send(
      "POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
      "Content-Length: 100\r\n\r\n{");
  EXPECT_EQ(client.read().status, 400);
  EXPECT_TRUE(client.at_end());
}

}  // namespace
}  // namespace coracle::test
