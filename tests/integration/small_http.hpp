// HTTP/1.1 for tests: a server of one thread per connection whose handler is a function, and a
// client that sends one request. Plain sockets, so that answers can be cut anywhere.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/fd.hpp"

namespace coracle::test {

struct Request {
  std::string method, path;                    // path with the query
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  [[nodiscard]] std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};
struct Response {
  int status = 200;
  std::vector<std::string> headers;
  std::string body;
  long cut_after = -1;    // the connection is closed after so many bytes of the body
  long stall_after = -1;  // … or nothing more is sent, until the server ends
};

inline sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Reads until a head is whole; what follows stays in `buffer`.
inline bool read_head(const UniqueFd& fd, std::string& buffer, std::string& head) {
  char piece[8192];
  for (;;) {
    const auto end = buffer.find("\r\n\r\n");
    if (end != std::string::npos) {
      head = buffer.substr(0, end + 2);
      buffer.erase(0, end + 4);
      return true;
    }
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n <= 0) return false;
    buffer.append(piece, static_cast<std::size_t>(n));
    if (buffer.front() == 0x16) return false;  // a TLS hello: whoever expects TLS is sent away
  }
}
inline std::map<std::string, std::string> read_headers(const std::string& head) {
  std::map<std::string, std::string> out;
  for (std::size_t at = head.find("\r\n") + 2; at < head.size();) {
    const auto end = head.find("\r\n", at);
    const auto colon = head.find(':', at);
    if (colon < end) {
      std::string name = head.substr(at, colon - at);
      std::ranges::transform(name, name.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
      });
      auto value = head.substr(colon + 1, end - colon - 1);
      value.erase(0, value.find_first_not_of(' '));
      out[name] = value;
    }
    at = end + 2;
  }
  return out;
}
inline bool read_body(const UniqueFd& fd, std::string& buffer, std::size_t size) {
  char piece[65536];
  while (buffer.size() < size) {
    const ssize_t n = ::read(fd.get(), piece, sizeof piece);
    if (n <= 0) return false;
    buffer.append(piece, static_cast<std::size_t>(n));
  }
  return true;
}

class Server {
 public:
  using Handler = std::function<Response(const Request&)>;
  explicit Server(Handler handler) : handler_(std::move(handler)) {
    ::signal(SIGPIPE, SIG_IGN);  // a client may leave in the middle of an answer
    listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = loopback(0);
    socklen_t size = sizeof address;
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_.get(), 64) != 0 ||
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      std::abort();
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ending_ = true;
    acceptor_.join();
    const std::lock_guard lock(mutex_);
    for (auto& fd : connections_) ::shutdown(fd.get(), SHUT_RDWR);
    for (auto& t : threads_) t.join();
  }
  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::vector<Request> requests() const {
    const std::lock_guard lock(seen_mutex_);
    return seen_;
  }
  // How many requests had this in their path?
  [[nodiscard]] int count(const std::string& part) const {
    const auto all = requests();
    return static_cast<int>(std::ranges::count_if(
        all, [&part](const Request& r) { return r.path.find(part) != std::string::npos; }));
  }

 private:
  void accept_all() {
    while (!ending_) {
      pollfd ready{listener_.get(), POLLIN, 0};
      if (::poll(&ready, 1, 20) != 1) continue;
      UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!fd) continue;
      const std::lock_guard lock(mutex_);
      connections_.emplace_back(::dup(fd.get()));
      threads_.emplace_back([this, fd = std::move(fd)] { serve(fd); });
    }
  }
  void serve(const UniqueFd& fd) {
    std::string buffer;
    std::string head;
    while (read_head(fd, buffer, head)) {
      Request r;
      r.method = head.substr(0, head.find(' '));
      const auto start = r.method.size() + 1;
      r.path = head.substr(start, head.find(' ', start) - start);
      r.headers = read_headers(head);
      const std::string length = r.header("content-length");
      const std::size_t size = length.empty() ? 0 : std::stoul(length);
      if (!read_body(fd, buffer, size)) break;
      r.body = buffer.substr(0, size);
      buffer.erase(0, size);
      {
        const std::lock_guard lock(seen_mutex_);
        seen_.push_back(r);
      }
      if (!answer(fd, r, handler_(r))) break;
    }
    ::shutdown(fd.get(), SHUT_RDWR);
  }
  bool answer(const UniqueFd& fd, const Request& r, const Response& response) const {
    std::string out = "HTTP/1.1 " + std::to_string(response.status) +
                      " X\r\nContent-Length: " + std::to_string(response.body.size()) + "\r\n";
    for (const auto& h : response.headers) out += h + "\r\n";
    out += "\r\n";
    const long part = std::max(response.cut_after, response.stall_after);
    if (r.method != "HEAD")
      out += part < 0 ? response.body : response.body.substr(0, static_cast<std::size_t>(part));
    if (!write_all(fd, out)) return false;
    while (response.stall_after >= 0 && !ending_)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return part < 0;
  }

  Handler handler_;
  UniqueFd listener_;
  int port_ = 0;
  std::atomic<bool> ending_ = false;
  std::mutex mutex_;  // guards threads_, connections_
  std::vector<std::thread> threads_;
  std::vector<UniqueFd> connections_;
  mutable std::mutex seen_mutex_;
  std::vector<Request> seen_;
  std::thread acceptor_;
};

// One request on a connection of its own; status 0 when nobody answers.
struct Answer {
  int status = 0;
  std::map<std::string, std::string> headers;
  std::string body;
};
inline Answer send_request(int port, const std::string& method, const std::string& path,
                           const std::string& body = "", const std::string& type = "") {
  Answer out;
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return out;
  std::string text = method + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
                     "\r\nConnection: close\r\nContent-Length: " + std::to_string(body.size()) +
                     "\r\n";
  if (!type.empty()) text += "Content-Type: " + type + "\r\n";
  text += "\r\n" + body;
  if (!write_all(fd, text)) return out;
  std::string buffer;
  std::string head;
  if (!read_head(fd, buffer, head)) return out;
  out.status = std::stoi(head.substr(9, 3));
  out.headers = read_headers(head);
  const auto length = out.headers.find("content-length");
  if (length != out.headers.end()) read_body(fd, buffer, std::stoul(length->second));
  out.body = buffer;
  return out;
}

}  // namespace coracle::test
