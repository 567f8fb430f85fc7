// Bodies that are empty, cut, no JSON, of another type, or followed by something, on every route that
// reads one.
#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class JsonBodies : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    ContainerView web;
    web.id = std::string(64, 'a');
    engine().containers().all["web"] = web;
  }
  Answer chunked(const std::string& target, const std::string& body) {
    auto client = connect();
    client.send("POST " + target +
                " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n");
    if (!body.empty()) client.send(fmt::format("{:x}\r\n{}\r\n", body.size(), body));
    client.send("0\r\n\r\n");
    return client.read();
  }
};

// Nobody and nothing of these names is there: the body is looked at first.
constexpr const char* kRoutes[] = {"/containers/create",
                                   "/commit?container=nobody",
                                   "/containers/nobody/exec",
                                   "/containers/nobody/update",
                                   "/exec/nothing/start",
                                   "/volumes/create",
                                   "/auth"};

TEST_F(JsonBodies, WhatIsNoJsonIsToldInDockersWordsBeforeAnythingIsLookedUp) {
  for (const auto* route : kRoutes) {
    for (const auto& [body, said] : std::initializer_list<std::pair<const char*, const char*>>{
             {"{invalid json",
              "invalid JSON: invalid character 'i' looking for beginning of object key string"},
             {"Image", "invalid JSON: invalid character 'I' looking for beginning of value"},
             {"{\"Image\":", "invalid JSON: unexpected EOF"},
             {"{} trailing content", "unexpected content after JSON"},
             {"{} {}", "unexpected content after JSON"},
             {"{} [", "unexpected content after JSON"}}) {
      const auto answer = ask("POST", route, body);
      EXPECT_EQ(answer.status, 400) << route << body;
      EXPECT_EQ(answer.message(), said) << route << body;
    }
    EXPECT_EQ(ask("POST", route, "{}", "Content-Type: text/plain\r\n").message(),
              "unsupported Content-Type header (text/plain): must be 'application/json'")
        << route;
    EXPECT_EQ(
        raw(fmt::format("POST {} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{{}}", route))
            .message(),
        "malformed Content-Type header (): mime: no media type")
        << route;
  }
}

TEST_F(JsonBodies, AClosingBracketBehindTheValueIsLetPass) {
  for (const char* behind : {"}", "]", " \n}", "]]} x", "\n"}) {
    const auto made = ask("POST", "/containers/create", std::string(R"({"Image":"b"})") + behind);
    EXPECT_EQ(made.status, 201) << behind << made.body;
    EXPECT_EQ(ask("POST", "/volumes/create", std::string(R"({"Name":"v"})") + behind).status, 201)
        << behind;
  }
}

TEST_F(JsonBodies, AnAbsentOneIsEmptyWhereDockerTakesItSo) {
  for (const std::string type : {"", "Content-Type: application/json\r\n"}) {
    EXPECT_EQ(ask("POST", "/volumes/create", "", type).status, 201);
    EXPECT_EQ(ask("POST", "/containers/web/update", "", type).status, 200);
    EXPECT_EQ(ask("POST", "/containers/web/exec", "", type).message(), "No exec command specified");
    EXPECT_EQ(ask("POST", "/commit?container=nobody", "", type).status, 404);
    const auto create = ask("POST", "/containers/create", "", type);
    EXPECT_EQ(create.status, 400);
    EXPECT_EQ(create.message(), "invalid JSON: got EOF while reading request body");
  }
  EXPECT_EQ(ask("POST", "/volumes/create", "", "Content-Type: text/plain\r\n").status, 400);
}

TEST_F(JsonBodies, OneOfBlanksIsRefusedButForCommit) {
  for (const auto* route : kRoutes) {
    const bool commit = std::string_view(route).starts_with("/commit");
    for (const auto& answer :
         {ask("POST", route, " \n"), chunked(route, ""), chunked(route, " ")}) {
      EXPECT_EQ(answer.status, commit ? 404 : 400) << route;
      if (commit) continue;
      EXPECT_EQ(answer.message(), "invalid JSON: got EOF while reading request body") << route;
    }
  }
}

TEST_F(JsonBodies, AContainerNeedsAConfig) {
  for (const char* body : {"{}", "null", R"({"HostConfig":{"Memory":0}})", R"({"Unknown":1})"}) {
    const auto answer = ask("POST", "/containers/create", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_EQ(answer.message(), "config cannot be empty in order to create a container") << body;
  }
  EXPECT_EQ(ask("POST", "/containers/create", R"({"image":"b"})").status, 201);
}

}  // namespace
}  // namespace coracle::test
