#include "netstack/dns/dns.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <future>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/base/file.hpp"

namespace coracle::netstack {
namespace {

DnsBytes query(std::uint16_t id, const std::string& name) {
  DnsBytes m{0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  for (std::size_t at = 0; at < name.size();) {
    const auto end = std::min(name.find('.', at), name.size());
    m.push_back(static_cast<std::uint8_t>(end - at));
    m.insert(m.end(), name.begin() + static_cast<std::ptrdiff_t>(at),
             name.begin() + static_cast<std::ptrdiff_t>(end));
    at = end + 1;
  }
  m.insert(m.end(), {0, 0, 1, 0, 1});
  set_dns_id(m, id);
  return m;
}
// A query for the A record of "example.test".
DnsBytes query(std::uint16_t id = 0x1234) {
  DnsBytes m{0,   0,   1,   0,   0,   1, 0,   0,   0,   0,   0, 0, 7, 'e', 'X',
             'a', 'm', 'p', 'l', 'e', 4, 't', 'e', 's', 't', 0, 0, 1, 0,   1};
  set_dns_id(m, id);
  return m;
}

TEST(DnsPacket, ReadsAQuestion) {
  const auto q = parse_query(query());
  ASSERT_TRUE(q);
  EXPECT_EQ(q->name, "example.test");
  EXPECT_EQ(q->type, kDnsA);
  EXPECT_EQ(q->id, 0x1234);
  EXPECT_EQ(q->end, query().size());
}

TEST(DnsPacket, RefusesCutAndCompressedQuestions) {
  const auto whole = query();
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(parse_query(std::span(whole).first(n))) << n;
  auto pointer = whole;
  pointer[12] = 0xc0;
  EXPECT_FALSE(parse_query(pointer));
  auto response = whole;
  response[2] |= 0x80;
  EXPECT_FALSE(parse_query(response));
}

TEST(DnsPacket, SurvivesRandomBytes) {
  std::mt19937 random(3);
  for (int i = 0; i < 200000; ++i) {
    auto m = query();
    for (int k = 0; k < 4; ++k) m[random() % m.size()] = static_cast<std::uint8_t>(random());
    m.resize(random() % (m.size() + 1));
    if (const auto q = parse_query(m)) {
      EXPECT_LE(q->end, m.size());
      EXPECT_GE(make_empty_answer(m, *q, Rcode::server_failure).size(), 12U);
    }
    (void)answers(m, query(), 1);
  }
}

TEST(DnsPacket, ReadsResolvConf) {
  const auto servers = parse_resolv_conf(
      "# comment\nnameserver 127.0.0.53\nsearch x\nnameserver bad\n nameserver fd00::1\n"
      "nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
  ASSERT_EQ(servers.size(), 3U);
  EXPECT_EQ(servers[0].text(), "127.0.0.53:53");
  EXPECT_EQ(servers[1].text(), "[fd00::1]:53");
  EXPECT_EQ(servers[2].text(), "10.0.0.1:53");
}

// A socket at 127.0.0.1; none where the port is another's.
UniqueFd bound_at(int type, std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const auto a = *SocketAddress::parse("127.0.0.1", port);
  if (::bind(fd.get(), a.get(), a.size()) != 0) return {};
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 256), 0);
  }
  return fd;
}
UniqueFd bound(int type) {
  auto fd = bound_at(type, 0);
  EXPECT_TRUE(fd);
  return fd;
}
// A resolver's two: at one port, which is looked for, since what is free for the one may be taken for the other.
void bind_resolver(UniqueFd& udp, UniqueFd& tcp) {
  for (int i = 0; i < 1000 && !tcp; ++i) {
    udp = bound(SOCK_DGRAM);
    tcp = bound_at(SOCK_STREAM, local_address(udp.get())->port());
  }
  ASSERT_TRUE(tcp) << "no port is free for UDP and TCP";
}

class Dns : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/netstack-dns-XXXXXX";
    UniqueFd fd(::mkstemp(name.data()));
    resolv_conf_ = name;
    bind_resolver(resolver_, resolver_tcp_);
    DnsSettings settings;
    settings.gateway = *parse_ipv4("172.17.0.1");
    settings.resolv_conf = name;
    settings.resolver_port = local_address(resolver_.get())->port();
    auto udp = bound(SOCK_DGRAM);
    auto tcp = bound(SOCK_STREAM);
    ASSERT_TRUE(set_nonblocking(udp, true));
    ASSERT_TRUE(set_nonblocking(tcp, true));
    udp_at_ = *local_address(udp.get());
    tcp_at_ = *local_address(tcp.get());
    loop_ = *Loop::make();
    shares_.open(*parse_ipv4("127.0.0.1"));
    std::vector<UniqueFd> udps;
    udps.push_back(std::move(udp));
    server_ = *DnsServer::make(*loop_, shares_, settings, std::move(udps), std::move(tcp));
    thread_ = std::thread([this] { EXPECT_TRUE(loop_->run()); });
  }
  void TearDown() override {
    loop_->post([this] { loop_->stop(); });
    thread_.join();
    server_.reset();
    ::unlink(resolv_conf_.c_str());
  }
  void resolvers(const std::string& text) {
    ASSERT_TRUE(write_file_atomic(resolv_conf_, text, 0600, Durability::unsynced));
  }
  UniqueFd client(int type, const SocketAddress& to) {
    UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
    const timeval limit{60, 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd.get(), to.get(), to.size()), 0);
    return fd;
  }
  DnsBytes ask(const DnsBytes& q) {
    const auto fd = client(SOCK_DGRAM, udp_at_);
    ::send(fd.get(), q.data(), q.size(), 0);
    DnsBytes answer(65535);
    const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
    answer.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return answer;
  }
  // Answers one query, with an address.
  std::thread resolve_once() {
    return std::thread([this] {
      DnsBytes m(65535);
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      pollfd p{resolver_.get(), POLLIN, 0};
      if (::poll(&p, 1, 5000) != 1) return;
      const ssize_t n = ::recvfrom(resolver_.get(), m.data(), m.size(), 0,
                                   reinterpret_cast<sockaddr*>(&peer), &size);
      m.resize(static_cast<std::size_t>(n));
      const auto a = make_address_answer(m, *parse_query(m), *parse_ipv4("198.51.100.7"), 1);
      ::sendto(resolver_.get(), a.data(), a.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    });
  }

  // Answers every query for `name`, and no other, until stop_resolver_.
  std::thread resolve_only(const std::string& name) {
    return std::thread([this, name] {
      DnsBytes m(65535);
      while (!stop_resolver_) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        pollfd p{resolver_.get(), POLLIN, 0};
        if (::poll(&p, 1, 50) != 1) continue;
        m.resize(65535);
        const ssize_t n = ::recvfrom(resolver_.get(), m.data(), m.size(), 0,
                                     reinterpret_cast<sockaddr*>(&peer), &size);
        m.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        const auto question = parse_query(m);
        if (!question || question->name != name) continue;
        const auto a = make_address_answer(m, *question, *parse_ipv4("198.51.100.7"), 1);
        ::sendto(resolver_.get(), a.data(), a.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
      }
    });
  }
  // Runs it on the loop's thread.
  template <class F>
  auto on_loop(F function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto result = task.get_future();
    loop_->post([&task] { task(); });
    return result.get();
  }
  std::size_t held_by(const std::string& ip) {
    const auto tenant = shares_.find(*parse_ipv4(ip));
    return tenant ? tenant->held() : 0;
  }
  static bool eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 3000; ++i) {
      if (condition()) return true;
      ::usleep(10'000);
    }
    return false;
  }

  std::atomic<bool> stop_resolver_ = false;
  std::string resolv_conf_;
  UniqueFd resolver_;
  UniqueFd resolver_tcp_;
  SocketAddress udp_at_;
  SocketAddress tcp_at_;
  std::unique_ptr<Loop> loop_;
  Shares shares_{4096};
  std::unique_ptr<DnsServer> server_;
  std::thread thread_;
};

bool failure(const DnsBytes& answer) { return answer.size() > 3 && (answer[3] & 15) == 2; }

TEST_F(Dns, ForwardsToTheHostsResolverAsItIsNow) {
  // None at first: a clean failure, at once.
  const auto none = ask(query());
  EXPECT_TRUE(failure(none));
  resolvers("nameserver 127.0.0.1\n");
  auto resolver = resolve_once();
  const auto answer = ask(query(0x4321));
  resolver.join();
  ASSERT_EQ(answer.size(), query().size() + 16);
  EXPECT_EQ(dns_id(answer), 0x4321);
  EXPECT_EQ(answer.back(), 7);
}

TEST_F(Dns, ASilentResolverIsPassedOver) {
  const auto silent = bound(SOCK_DGRAM);  // takes the port of nobody: 127.0.0.2 refuses at once
  resolvers("nameserver 127.0.0.2\nnameserver 127.0.0.1\n");
  auto resolver = resolve_once();
  EXPECT_EQ(ask(query()).size(), query().size() + 16);
  resolver.join();
}

TEST_F(Dns, SilenceOfAllIsAFailure) {
  resolvers("nameserver 127.0.0.1\n");  // bound, and never read
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(failure(ask(query())));
  EXPECT_LT(std::chrono::steady_clock::now() - start,
            std::chrono::seconds(50));  // ten times what it is to be
}

TEST_F(Dns, AContainersUnansweredQueriesDoNotStandInTheWayOfAnothers) {
  resolvers("nameserver 127.0.0.1\n");  // bound, and silent
  const auto other = *parse_ipv4("127.0.0.2");
  on_loop([&] { shares_.open(other); });
  const auto flooder = client(SOCK_DGRAM, udp_at_);
  std::atomic<bool> stop = false;
  std::thread flood([&] {
    for (std::uint16_t id = 0; !stop; ++id) {
      const auto q = query(id);
      ::send(flooder.get(), q.data(), q.size(), 0);
      if (id % 256 == 0) ::usleep(1000);
    }
  });
  // Its share of queries is under way by then.
  EXPECT_TRUE(eventually([&] { return on_loop([&] { return held_by("127.0.0.1"); }) == 128; }));
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SocketAddress from(other, 0);
  ASSERT_EQ(::bind(fd.get(), from.get(), from.size()), 0);
  ASSERT_EQ(::connect(fd.get(), udp_at_.get(), udp_at_.size()), 0);
  auto resolver = resolve_only("the.other.one");
  bool answered = false;
  for (int i = 0; i < 100 && !answered; ++i) {
    const auto q = query(0x7777, "the.other.one");
    ::send(fd.get(), q.data(), q.size(), 0);
    pollfd p{fd.get(), POLLIN, 0};
    if (::poll(&p, 1, 300) != 1) continue;  // a datagram may be lost: asked again
    DnsBytes answer(65535);
    const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
    answer.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    answered = !failure(answer) && answer.size() > 12;
  }
  EXPECT_TRUE(answered);
  stop = true;
  flood.join();
  stop_resolver_ = true;
  resolver.join();
  // All is given back when it ends.
  on_loop([&] { shares_.close(*parse_ipv4("127.0.0.1")); });
  EXPECT_TRUE(
      eventually([&] { return on_loop([&] { return shares_.free(); }) == shares_.capacity(); }));
}

TEST_F(Dns, IdleTcpConnectionsOfAContainerGiveWayToItsNext) {
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 200; ++i) idle.push_back(client(SOCK_STREAM, tcp_at_));
  EXPECT_TRUE(eventually([&] { return on_loop([&] { return held_by("127.0.0.1"); }) == 64; }));
  // The first was closed, the last is served.
  char c = 0;
  EXPECT_EQ(::recv(idle.front().get(), &c, 1, 0), 0);
  auto q = query(1, "host.docker.internal");
  q.insert(q.begin(), {0, static_cast<std::uint8_t>(q.size())});
  ::send(idle.back().get(), q.data(), q.size(), 0);
  EXPECT_EQ(::recv(idle.back().get(), &c, 1, 0), 1);
}

TEST_F(Dns, ATcpClientThatTakesNoAnswersIsNotReadFrom) {
  const auto fd = client(SOCK_STREAM, tcp_at_);
  auto q = query(1, "host.docker.internal");
  q.insert(q.begin(), {0, static_cast<std::uint8_t>(q.size())});
  DnsBytes many;
  for (int i = 0; i < 1000; ++i) many.insert(many.end(), q.begin(), q.end());
  // In pieces that are read at once, far more than the kernel's buffers take.
  std::size_t sent = 0;
  const timeval limit{0, 500'000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  constexpr std::size_t kFarMore = 128 << 20;
  while (sent < kFarMore) {
    const ssize_t n = ::send(fd.get(), many.data(), many.size(), MSG_NOSIGNAL);
    if (n <= 0) break;
    sent += static_cast<std::size_t>(n);
    ::usleep(100);
  }
  EXPECT_LT(sent, kFarMore);
}

TEST_F(Dns, ServesTcp) {
  resolvers("nameserver 127.0.0.1\n");
  std::thread resolver([this] {
    UniqueFd fd(::accept4(resolver_tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    DnsBytes m(2048);
    const ssize_t n = ::recv(fd.get(), m.data(), 2 + query().size(), MSG_WAITALL);
    m.resize(static_cast<std::size_t>(n));
    const DnsBytes q(m.begin() + 2, m.end());
    auto a = make_address_answer(q, *parse_query(q), *parse_ipv4("198.51.100.7"), 1);
    const auto size = a.size();
    a.insert(a.begin(), {static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)});
    // In two pieces: the length may come alone.
    ::send(fd.get(), a.data(), 1, 0);
    ::usleep(20'000);
    ::send(fd.get(), a.data() + 1, a.size() - 1, 0);
  });
  const auto fd = client(SOCK_STREAM, tcp_at_);
  auto q = query();
  const auto size = q.size();
  q.insert(q.begin(), {0, static_cast<std::uint8_t>(size)});
  ::send(fd.get(), q.data(), 5, 0);
  ::usleep(20'000);
  ::send(fd.get(), q.data() + 5, q.size() - 5, 0);
  DnsBytes answer(1024);
  const ssize_t n = ::recv(fd.get(), answer.data(), 2 + size + 16, MSG_WAITALL);
  resolver.join();
  EXPECT_EQ(n, static_cast<ssize_t>(2 + size + 16));
}

}  // namespace
}  // namespace coracle::netstack
