#include "tests/unit/shim/http_client.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cctype>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "engine/base/process/process.hpp"
#include "shim/http/server.hpp"

namespace coracle::test {

json::Value Answer::json() const {
  auto v = json::parse(body);
  EXPECT_TRUE(v) << body;
  return v ? *v : json::Value();
}

std::string Answer::message() const {
  const auto v = json::parse(body);
  if (!v || !v->is_object() || !v->get_object().contains("message")) return "(none) " + body;
  return std::string(v->at("message").as_string());
}

void Client::send(std::string_view data) const { EXPECT_TRUE(write_all(fd_, data)); }

bool Client::more() {
  std::string piece(65536, '\0');
  const auto n = read_some(fd_, piece);
  if (!n || *n == 0) return false;
  buffer_.append(piece, 0, *n);
  return true;
}

Answer Client::read(bool head_only, bool no_body) {
  Answer a;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return a;
  }
  const std::string head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  a.status = std::atoi(head.substr(9, 3).c_str());
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const auto line_end = head.find("\r\n", at);
    const auto line = head.substr(at, line_end - at);
    at = line_end + 2;
    const auto colon = line.find(": ");
    std::string name = line.substr(0, colon);
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    a.headers[name] = line.substr(colon + 2);
  }
  if (head_only || no_body || a.status == 204 || a.status == 304 || a.status == 101) {
    a.whole = true;
    return a;
  }
  if (a.headers.contains("content-length")) {
    const auto size = static_cast<std::size_t>(std::stoul(a.headers["content-length"]));
    while (buffer_.size() < size) {
      if (!more()) return a;
    }
    a.body = buffer_.substr(0, size);
    buffer_.erase(0, size);
    a.whole = true;
    return a;
  }
  for (;;) {
    std::size_t line = 0;
    while ((line = buffer_.find("\r\n")) == std::string::npos) {
      if (!more()) return a;
    }
    const auto size = static_cast<std::size_t>(std::stoul(buffer_.substr(0, line), nullptr, 16));
    while (buffer_.size() < line + 2 + size + 2) {
      if (!more()) return a;
    }
    a.body += buffer_.substr(line + 2, size);
    buffer_.erase(0, line + 2 + size + 2);
    if (size == 0) {
      a.whole = true;
      return a;
    }
  }
}

std::string Client::read_to_end() {
  while (more()) {
  }
  return std::exchange(buffer_, {});
}

void Client::half_close() const { ::shutdown(fd_.get(), SHUT_WR); }

bool Client::at_end() { return buffer_.empty() && !more(); }

struct ServerTest::Running {
  Running(asio::io_context& io, http::Limits limits, std::size_t most)
      : server(io, router, limits, most), scope(io) {}
  http::Router router;
  http::Server server;
  Scope scope;
  std::thread thread;
};

void ServerTest::SetUp() {
  ignore_sigpipe();
  char name[] = "/tmp/shim-test-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  dir_ = name;
  path_ = dir_ + "/docker.sock";
  auto listener = listen_unix(path_, SOCK_STREAM);
  ASSERT_TRUE(listener) << listener.error().message;
  const http::Limits limits{std::size_t{64} << 10, patience, stall};
  running_ = std::make_shared<Running>(io, limits, most_connections);
  add_routes(running_->router);
  running_->server.listen(*std::move(listener));
  running_->thread = std::thread([this] { io.run(); });
}

void ServerTest::TearDown() {
  auto& r = *running_;
  asio::post(io, [&r] { r.scope.start("shut down", r.server.shut_down(std::chrono::seconds(2))); });
  r.thread.join();  // the loop ends by itself: nothing may be left running
  running_.reset();
  EXPECT_TRUE(remove_tree(dir_));
}

Client ServerTest::connect() const {
  auto fd = connect_unix(path_, SOCK_STREAM);
  EXPECT_TRUE(fd) << fd.error().message;
  const timeval limit{60, 0};
  ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return Client(*std::move(fd));
}

Answer ServerTest::ask(const std::string& method, const std::string& target,
                       const std::string& body, const std::string& more_headers) {
  std::string request = method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + more_headers;
  if (!body.empty()) {
    if (more_headers.find("Content-Type") == std::string::npos)
      request += "Content-Type: application/json\r\n";
    request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  auto client = connect();
  client.send(request + "\r\n" + body);
  return client.read(false, method == "HEAD");
}

Answer ServerTest::raw(const std::string& request) {
  auto client = connect();
  client.send(request);
  client.half_close();
  return client.read();
}

bool ServerTest::eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return condition();
}

std::size_t ServerTest::connections() {
  std::promise<std::size_t> answer;
  asio::post(io, [&] { answer.set_value(running_->server.connections()); });
  return answer.get_future().get();
}

}  // namespace coracle::test
