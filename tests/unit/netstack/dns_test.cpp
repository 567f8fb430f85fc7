#include "netstack/dns.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <stdlib.h>

#include "engine/base/file.hpp"

namespace coracle::netstack {
namespace {

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

UniqueFd bound(int type, std::uint16_t port = 0) {
  UniqueFd fd(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  const auto a = *SocketAddress::parse("127.0.0.1", port);
  EXPECT_EQ(::bind(fd.get(), a.get(), a.size()), 0);
  if (type == SOCK_STREAM) {
    EXPECT_EQ(::listen(fd.get(), 10), 0);
  }
  return fd;
}

class Dns : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/netstack-dns-XXXXXX";
    UniqueFd fd(::mkstemp(name.data()));
    resolv_conf_ = name;
    resolver_ = bound(SOCK_DGRAM);
    DnsSettings settings;
    settings.gateway = *parse_ipv4("172.17.0.1");
    settings.resolv_conf = name;
    settings.resolver_port = local_address(resolver_.get())->port();
    resolver_tcp_ = bound(SOCK_STREAM, settings.resolver_port);
    auto udp = bound(SOCK_DGRAM);
    auto tcp = bound(SOCK_STREAM);
    ASSERT_TRUE(set_nonblocking(udp, true));
    ASSERT_TRUE(set_nonblocking(tcp, true));
    udp_at_ = *local_address(udp.get());
    tcp_at_ = *local_address(tcp.get());
    loop_ = *Loop::make();
    shares_.open(*parse_ipv4("127.0.0.1"));
    server_ = *DnsServer::make(*loop_, shares_, settings, std::move(udp), std::move(tcp));
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
    const timeval limit{8, 0};
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
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST_F(Dns, ServesTcp) {
  resolvers("nameserver 127.0.0.1\n");
  std::thread resolver([this] {
    UniqueFd fd(::accept4(resolver_tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    DnsBytes m(2048);
    const ssize_t n = ::recv(fd.get(), m.data(), m.size(), 0);
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
  const ssize_t n = ::recv(fd.get(), answer.data(), answer.size(), 0);
  resolver.join();
  EXPECT_EQ(n, static_cast<ssize_t>(2 + size + 16));
}

}  // namespace
}  // namespace coracle::netstack
