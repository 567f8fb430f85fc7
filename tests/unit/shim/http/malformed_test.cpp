// Whatever a client sends, it gets a 4xx with a JSON message, and the daemon stays.
#include "tests/unit/shim/shim_fixture.hpp"

namespace coracle::test {
namespace {

class Malformed : public ShimTest {};

TEST_F(Malformed, BytesThatAreNoHttp) {
  for (const std::string request :
       {"nonsense\r\n\r\n", "GET /_ping\r\n\r\n", "GET /_ping HTTP/9.9\r\n\r\n",
        "GET  /_ping HTTP/1.1\r\n\r\n", "GET /_ping HTTP/1.1\r\nbad header\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost : x\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: "
        "chunked\r\n\r\nzz\r\n{}\r\n",
        "POST /auth HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        "10\r\n\r\n{}",
        "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET /info?a=%q HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    const auto answer = raw(request);
    EXPECT_GE(answer.status, 400) << request;
    EXPECT_LT(answer.status, 500) << request;
    EXPECT_EQ(answer.headers.contains("content-type") ? answer.headers.at("content-type") : "",
              "application/json")
        << request;
    EXPECT_NE(answer.message().substr(0, 6), "(none)") << request;
  }
  EXPECT_EQ(ask("GET", "/_ping").body, "OK");
}

// See RFC 9112, 3.2.
TEST_F(Malformed, ARequestWithoutAHostOrWithTwo) {
  for (const std::string request :
       {"GET /_ping HTTP/1.1\r\n\r\n", "GET /_ping HTTP/1.1\r\nHosts: x\r\n\r\n",
        "GET /_ping HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        "GET /_ping HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n"}) {
    const auto answer = raw(request);
    EXPECT_EQ(answer.status, 400) << request;
    EXPECT_NE(answer.message().find("Host header"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(raw("GET /_ping HTTP/1.1\r\nhOST:\r\nConnection: close\r\n\r\n").status, 200);
  EXPECT_EQ(raw("GET /_ping HTTP/1.0\r\n\r\n").status, 200);
}

TEST_F(Malformed, ANulInAPathOrAParameter) {
  ContainerView web;
  web.id = std::string(64, 'a');
  engine().containers().all["web"] = web;
  for (const std::string target :
       {"/containers/web/archive?path=/etc%00/x", "/containers/web/archive?path=%00",
        "/containers/we%00b/json", "/images/a%00b/json", "/images/json?filters=%7B%7D%00"}) {
    const auto answer = ask("GET", target);
    EXPECT_EQ(answer.status, 400) << target << " " << answer.body;
  }
  EXPECT_EQ(ask("PUT", "/containers/web/archive?path=/tmp%00x", "x").status, 400);
}

struct Case {
  const char* method;
  const char* target;
  const char* body;
};

TEST_F(Malformed, BodiesAndParameters) {
  ContainerView web;
  web.id = std::string(64, 'a');
  engine().containers().all["web"] = web;
  for (const auto& c : {
           Case{"POST", "/containers/create", "{"},
           Case{"POST", "/containers/create", "[]"},
           Case{"POST", "/containers/create", "null"},
           Case{"POST", "/containers/create", "{\"Image\":\"b\"} x"},
           Case{"POST", "/containers/create", "{\"Image\":5}"},
           Case{"POST", "/containers/create", "{\"Image\":\"b\",\"Env\":\"A=1\"}"},
           Case{"POST", "/containers/create", "{\"Image\":\"b\",\"Env\":[1]}"},
           Case{"POST", "/containers/create", "{\"Image\":\"b\",\"Cmd\":{}}"},
           Case{"POST", "/containers/create", "{\"Image\":\"b\",\"HostConfig\":[]}"},
           Case{"POST", "/containers/create", "{\"HostConfig\":{\"Memory\":\"1g\"}}"},
           Case{"POST", "/containers/create", "{\"HostConfig\":{\"Memory\":1.5}}"},
           Case{"POST", "/containers/create", "{\"HostConfig\":{\"Memory\":1e300}}"},
           Case{"POST", "/containers/create", "{\"HostConfig\":{\"BlkioWeight\":70000}}"},
           Case{"POST", "/containers/create", "{\"HostConfig\":{\"PortBindings\":{\"x\":[]}}}"},
           Case{"POST", "/containers/create", "{\"ExposedPorts\":{\"80/icmp\":{}}}"},
           Case{"POST", "/containers/create?platform=a/b/c/d", "{\"Image\":\"b\"}"},
           Case{"GET", "/containers/json?filters={", ""},
           Case{"GET", "/containers/json?filters=[]", ""},
           Case{"GET", "/containers/json?filters={\"nonsense\":[\"x\"]}", ""},
           Case{"GET", "/containers/json?filters={\"label\":5}", ""},
           Case{"GET", "/containers/json?filters={\"label\":[5]}", ""},
           Case{"GET", "/containers/json?limit=ten", ""},
           Case{"POST", "/containers/web/stop?t=soon", ""},
           Case{"POST", "/containers/web/start", "{\"HostConfig\":{}}"},
           Case{"POST", "/containers/web/wait?condition=never", ""},
           Case{"POST", "/containers/web/resize", ""},
           Case{"POST", "/containers/web/resize?h=10", ""},
           Case{"POST", "/containers/web/resize?h=10&w=4294967296", ""},
           Case{"GET", "/containers/web/logs", ""},
           Case{"GET", "/containers/web/logs?stdout=1&since=yesterday", ""},
           Case{"POST", "/containers/web/exec", "{}"},
           Case{"POST", "/containers/web/exec", "{\"Cmd\":[]}"},
           Case{"POST", "/containers/web/exec", "{\"Cmd\":5}"},
           Case{"POST", "/containers/web/exec", ""},
           Case{"POST", "/exec/exec-ls/start", "{\"Detach\":\"yes\"}"},
           Case{"GET", "/events?since=x", ""},
           Case{"GET", "/events?since=20&until=10", ""},
           Case{"GET", "/images/json?filters={\"x\":[]}", ""},
           Case{"POST", "/images/create?fromImage=UPPER", ""},
           Case{"POST", "/images/create?fromImage=a&tag=b%20c", ""},
           Case{"POST", "/images/create?fromImage=a&platform=%00", ""},
           Case{"GET", "/images/get", ""},
           Case{"POST", "/volumes/create", "{\"Labels\":[]}"},
           Case{"POST", "/auth", "5"},
       }) {
    const auto answer = ask(c.method, c.target, c.body);
    EXPECT_EQ(answer.status, 400) << c.target << " " << c.body << " " << answer.body;
    EXPECT_EQ(answer.headers.contains("content-type") ? answer.headers.at("content-type") : "",
              "application/json");
    EXPECT_NE(answer.message().substr(0, 6), "(none)") << c.target;
  }
}

TEST_F(Malformed, ABodyOfAnotherType) {
  const auto answer = ask("POST", "/containers/create", "Image=b", "Content-Type: text/plain\r\n");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.message(),
            "unsupported Content-Type header (text/plain): must be 'application/json'");
  EXPECT_EQ(ask("POST", "/containers/create", "{\"Image\":\"b\"}",
                "Content-Type: application/json; charset=utf-8\r\n")
                .status,
            201);
}

TEST_F(Malformed, ANulInAString) {
  const auto answer = ask("POST", "/containers/create", R"({"Image": "b", "Env": ["a\u0000=b"]})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.message(), "invalid JSON: a string holds a NUL at offset 25");
  EXPECT_EQ(ask("POST", "/containers/create", R"({"Image": "b", "Env": ["a\\u0000=b"]})").status,
            201);
}

TEST_F(Malformed, ABodyWithoutEnd) {
  const auto answer = ask("POST", "/containers/create", std::string((16u << 20) + 1, ' '));
  EXPECT_EQ(answer.status, 400);
}

}  // namespace
}  // namespace coracle::test
