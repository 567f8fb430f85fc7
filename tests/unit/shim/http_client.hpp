// A server with the routes of a test behind a real socket, its loop on a thread of its own, and a
// client that sees every byte.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <gtest/gtest.h>

#include "engine/base/async/async.hpp"
#include "engine/base/fd.hpp"
#include "engine/base/json.hpp"
#include "shim/http/router.hpp"

namespace coracle::test {

struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // chunks put together
  bool whole = false;                          // its end has been seen
  [[nodiscard]] json::Value json() const;
  [[nodiscard]] std::string message() const;
};

// A blocking connection.
class Client {
 public:
  explicit Client(UniqueFd fd) : fd_(std::move(fd)) {}
  void send(std::string_view data) const;
  // Reads one answer. `head_only`: stops behind the head. `no_body`: HEAD.
  Answer read(bool head_only = false, bool no_body = false);
  std::string read_to_end();
  void half_close() const;
  void close() { fd_.reset(); }
  [[nodiscard]] bool at_end();  // the server has closed

 private:
  bool more();
  UniqueFd fd_;
  std::string buffer_;
};

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;
  // Called by SetUp; what answers outlives TearDown.
  virtual void add_routes(http::Router& router) = 0;
  [[nodiscard]] Client connect() const;
  Answer ask(const std::string& method, const std::string& target, const std::string& body = "",
             const std::string& more_headers = "");
  Answer raw(const std::string& request);
  // Waits up to five seconds.
  static bool eventually(const std::function<bool()>& condition);
  [[nodiscard]] std::size_t connections();

  asio::io_context io{1};
  Workers workers{io, 2};
  std::size_t most_connections = 0;
  std::chrono::milliseconds patience{60'000}, stall{300'000};

 private:
  struct Running;
  std::shared_ptr<Running> running_;
  std::string dir_, path_;
};

}  // namespace coracle::test
