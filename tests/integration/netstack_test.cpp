// netstack as a whole, on real namespaces: attach, published ports, outgoing connections, names,
// and what a successor takes over.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "engine/base/ipc/channel.hpp"
#include "engine/base/json.hpp"
#include "netstack/dns/dns_packet.hpp"
#include "netstack/relay/egress.hpp"
#include "netstack/takeover.hpp"
#include "tests/integration/netstack_harness.hpp"

namespace coracle::netstack::test {
namespace {

using namespace std::chrono_literals;

UniqueFd tcp_listen(const std::string& ip, std::uint16_t port = 0) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto address = *SocketAddress::parse(ip, port);
  if (::bind(fd.get(), address.get(), address.size()) != 0 || ::listen(fd.get(), 100) != 0)
    return {};
  return fd;
}
// 0 and the socket, or the errno.
int tcp_connect(const std::string& ip, std::uint16_t port, UniqueFd& fd) {
  const auto address = *SocketAddress::parse(ip, port);
  fd = UniqueFd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{60, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  return ::connect(fd.get(), address.get(), address.size()) == 0 ? 0 : errno;
}
std::string read_to_end(const UniqueFd& fd) {
  std::string all;
  std::array<char, 65536> chunk{};
  for (;;) {
    const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
    if (n <= 0) return all;
    all.append(chunk.data(), static_cast<std::size_t>(n));
  }
}
std::uint16_t port_of(const UniqueFd& fd) { return local_address(fd.get())->port(); }

// A server inside: tells each client its address, then sends back what comes until the client's
// half-close.
int echo_server(std::uint16_t port, int clients) {
  const auto listener = tcp_listen("0.0.0.0", port);
  if (!listener) return 1;
  for (int i = 0; i < clients; ++i) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    UniqueFd fd(::accept(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size));
    if (!fd) return 2;
    if (!write_all(fd, SocketAddress::from(peer).ip() + "\n")) return 3;
    std::array<char, 65536> chunk{};
    for (;;) {
      const ssize_t n = ::read(fd.get(), chunk.data(), chunk.size());
      if (n <= 0) break;
      if (!write_all(fd, {chunk.data(), static_cast<std::size_t>(n)})) break;
    }
  }
  return 0;
}
// What such a server answers; waits until it is there.
std::string talk(const std::string& ip, std::uint16_t port, const std::string& text) {
  for (int i = 0; i < 6000; ++i) {
    UniqueFd fd;
    if (tcp_connect(ip, port, fd) != 0) return "refused";
    [[maybe_unused]] const auto written = write_all(fd, text);
    ::shutdown(fd.get(), SHUT_WR);
    auto answer = read_to_end(fd);
    if (!answer.empty()) return answer;
    ::usleep(10'000);  // the container's server is not up yet: reset
  }
  return "silence";
}

int ping(const std::string& ip) {
  UniqueFd fd(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
  if (!fd) return 10;
  const timeval limit{60, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  icmphdr echo{};
  echo.type = ICMP_ECHO;
  echo.un.echo.id = htons(77);
  echo.checksum = static_cast<std::uint16_t>(~(echo.type + echo.un.echo.id));
  const auto to = *SocketAddress::parse(ip, 0);
  if (::sendto(fd.get(), &echo, sizeof echo, 0, to.get(), to.size()) < 0) return 11;
  for (;;) {
    std::array<char, 256> packet{};
    if (::recv(fd.get(), packet.data(), packet.size(), 0) < 28) return 12;
    if (packet[20] == ICMP_ECHOREPLY) return 0;
  }
}

class Netstack : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = Room::make();
    if (!made) GTEST_SKIP() << made.error().message;
    room_ = *std::move(made);
    const auto started = room_->start_netstack();
    ASSERT_TRUE(started) << started.error().message;
    host_ = host_address();
  }
  std::unique_ptr<Room> room_;
  Ipv4 host_;  // 0: only loopback
};

PortRequest tcp_port(std::uint16_t inside, std::uint16_t outside = 0) {
  PortRequest p;
  p.container_port = inside;
  p.host_port = outside;
  return p;
}

TEST_F(Netstack, ContainersGetAddressesAndReachTheGatewayAndEachOther) {
  auto a = room_->attach(id_of("aa"));
  ASSERT_TRUE(a) << a.error().message;
  auto b = room_->attach(id_of("bb"));
  ASSERT_TRUE(b) << b.error().message;
  const auto& one = *a->reply.endpoint;
  const auto& two = *b->reply.endpoint;
  EXPECT_EQ(one.interface_name, "eth0");
  EXPECT_NE(one.address, two.address);
  EXPECT_EQ(one.mac.substr(0, 5), "02:42");
  EXPECT_EQ(room_->run_inside(a->netns, [&] { return ping(one.gateway); }), 0);
  EXPECT_EQ(room_->run_inside(a->netns, [&] { return ping(two.address); }), 0);
  EXPECT_EQ(room_->run_inside(a->netns, [] { return ping("127.0.0.1"); }), 0);
}

TEST_F(Netstack, ASecondAttachFindsTheSameEndpoint) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  const auto again = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a && again);
  EXPECT_EQ(a->reply.endpoint->endpoint_id, again->reply.endpoint->endpoint_id);
  EXPECT_TRUE(again->netns);
}

TEST_F(Netstack, NoneIsANamespaceWithLoopbackOnly) {
  const auto a = room_->attach(id_of("aa"), {}, "none");
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_EQ(a->reply.endpoint->address, "");
  EXPECT_EQ(room_->run_inside(a->netns, [] { return ping("127.0.0.1"); }), 0);
  EXPECT_EQ(room_->run_inside(a->netns, [] { return ping("172.17.0.1"); }), 11);
}

TEST_F(Netstack, APublishedPortShowsTheClientsOwnAddress) {
  if (host_.value == 0) GTEST_SKIP() << "the host has only loopback";
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a) << a.error().message;
  const auto& e = *a->reply.endpoint;
  ASSERT_GE(e.ports.size(), 1U);
  const auto port = e.ports[0].host_port;
  for (const auto& p : e.ports) EXPECT_EQ(p.host_port, port);
  const auto server = room_->start_inside(a->netns, [] { return echo_server(80, 1000); });
  // A half-close on our side, the rest of the answer after it.
  EXPECT_EQ(talk(to_string(host_), port, "hello"), to_string(host_) + "\nhello");
  EXPECT_EQ(talk("127.0.0.1", port, "hello"), e.gateway + "\nhello");
  if (e.ports.size() == 2) {
    EXPECT_EQ(talk("::1", port, "hello"), e.gateway + "\nhello");
  }
}

TEST_F(Netstack, AHundredMegabytesComeBackUnchanged) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a) << a.error().message;
  const auto port = a->reply.endpoint->ports[0].host_port;
  const auto server = room_->start_inside(a->netns, [] { return echo_server(80, 1000); });
  EXPECT_NE(talk("127.0.0.1", port, "x"), "silence");
  UniqueFd fd;
  ASSERT_EQ(tcp_connect("127.0.0.1", port, fd), 0);
  constexpr std::size_t kTotal = 100 << 20;
  const auto byte_at = [](std::size_t i) { return static_cast<char>((i * 2654435761U) >> 13); };
  std::thread writer([&] {
    std::string block(1 << 16, '\0');
    for (std::size_t at = 0; at < kTotal; at += block.size()) {
      for (std::size_t i = 0; i < block.size(); ++i) block[i] = byte_at(at + i);
      if (!write_all(fd, block)) return;
    }
    ::shutdown(fd.get(), SHUT_WR);
  });
  std::string line;
  for (char c = 0; ::read(fd.get(), &c, 1) == 1 && c != '\n';) line += c;
  std::size_t got = 0;
  std::size_t wrong = 0;
  std::vector<char> chunk(1 << 16);
  for (ssize_t n = 0; (n = ::read(fd.get(), chunk.data(), chunk.size())) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      if (chunk[static_cast<std::size_t>(i)] != byte_at(got++)) ++wrong;
    }
  }
  writer.join();
  EXPECT_EQ(got, kTotal);
  EXPECT_EQ(wrong, 0U);
}

TEST_F(Netstack, APortWithNobodyBehindItResetsTheClient) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(81)});
  ASSERT_TRUE(a) << a.error().message;
  UniqueFd fd;
  ASSERT_EQ(tcp_connect("127.0.0.1", a->reply.endpoint->ports[0].host_port, fd), 0);
  char c = 0;
  EXPECT_EQ(::read(fd.get(), &c, 1), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(Netstack, PublishedUdpGoesBothWays) {
  PortRequest udp;
  udp.proto = "udp";
  udp.container_port = 5000;
  const auto a = room_->attach(id_of("aa"), {udp});
  ASSERT_TRUE(a) << a.error().message;
  const auto server = room_->start_inside(a->netns, [] {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
    const auto address = *SocketAddress::parse("0.0.0.0", 5000);
    if (::bind(fd.get(), address.get(), address.size()) != 0) return 1;
    for (;;) {
      std::array<char, 100> text{};
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      if (::recvfrom(fd.get(), text.data(), text.size(), 0, reinterpret_cast<sockaddr*>(&peer),
                     &size) < 0)
        return 2;
      const auto seen = SocketAddress::from(peer).text();
      ::sendto(fd.get(), seen.data(), seen.size(), 0, reinterpret_cast<sockaddr*>(&peer), size);
    }
  });
  const std::string ip = host_.value == 0 ? "127.0.0.1" : to_string(host_);
  const auto to = *SocketAddress::parse(ip, a->reply.endpoint->ports[0].host_port);
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
  ASSERT_EQ(::connect(fd.get(), to.get(), to.size()), 0);
  std::string answer;
  for (int i = 0; i < 50 && answer.empty(); ++i) {
    ::send(fd.get(), "x", 1, 0);
    pollfd p{fd.get(), POLLIN, 0};
    if (::poll(&p, 1, 100) != 1) continue;
    std::array<char, 100> text{};
    const ssize_t n = ::recv(fd.get(), text.data(), text.size(), 0);
    if (n > 0) answer.assign(text.data(), static_cast<std::size_t>(n));
  }
  if (host_.value == 0) {
    EXPECT_NE(answer, "");
  } else {
    EXPECT_EQ(answer, local_address(fd.get())->text());  // our own address and port
  }
}

TEST_F(Netstack, TakenPortsAreConflictsInDockersWords) {
  const auto foreign = tcp_listen("0.0.0.0");
  const auto taken = port_of(foreign);
  const auto a = room_->attach(id_of("aa"), {tcp_port(80, taken)});
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().code, Errc::conflict);
  EXPECT_EQ(
      a.error().message,
      fmt::format("failed to bind host port for 0.0.0.0:{}:172.17.0.2:80/tcp: address already "
                  "in use",
                  taken));
  const auto b = room_->attach(id_of("bb"), {tcp_port(80)});
  ASSERT_TRUE(b) << b.error().message;
  const auto ours = b->reply.endpoint->ports[0].host_port;
  const auto c = room_->attach(id_of("cc"), {tcp_port(80, ours)});
  ASSERT_FALSE(c);
  EXPECT_EQ(c.error().code, Errc::conflict);
  EXPECT_EQ(c.error().message,
            fmt::format("Bind for 0.0.0.0:{} failed: port is already allocated", ours));
  // What failed has taken nothing: the address of the first is given again.
  EXPECT_EQ(b->reply.endpoint->address, "172.17.0.2");
  // And it is free again after detach.
  ASSERT_TRUE(room_->ask(op::Detach{id_of("bb")}));
  const auto d = room_->attach(id_of("cc"), {tcp_port(80, ours)});
  EXPECT_TRUE(d) << d.error().message;
}

TEST_F(Netstack, APrivilegedPortIsForbiddenWithTheRemedy) {
  const auto limit = read_file("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  if (!limit || std::stoi(*limit) < 82) GTEST_SKIP() << "port 81 is not privileged here";
  const auto a = room_->attach(id_of("aa"), {tcp_port(80, 81)});
  ASSERT_FALSE(a);
  EXPECT_EQ(a.error().code, Errc::forbidden);
  EXPECT_NE(a.error().message.find("net.ipv4.ip_unprivileged_port_start"), std::string::npos);
}

TEST_F(Netstack, ARangeGivesItsFirstFreePort) {
  const auto foreign = tcp_listen("0.0.0.0");
  auto range = tcp_port(80, port_of(foreign));
  range.host_port_end = static_cast<std::uint16_t>(range.host_port + 20);
  const auto a = room_->attach(id_of("aa"), {range});
  ASSERT_TRUE(a) << a.error().message;
  EXPECT_GT(a->reply.endpoint->ports[0].host_port, range.host_port);
  EXPECT_LE(a->reply.endpoint->ports[0].host_port, range.host_port_end);
}

TEST_F(Netstack, OutgoingConnectionsReachTheHostAndRefusalsStayRefusals) {
  if (host_.value == 0) GTEST_SKIP() << "the host has only loopback";
  const auto a = room_->attach(id_of("aa"));
  ASSERT_TRUE(a) << a.error().message;
  const auto listener = tcp_listen("0.0.0.0");
  const auto port = port_of(listener);
  const auto only_loopback = tcp_listen("127.0.0.1");
  const auto loopback_port = port_of(only_loopback);
  std::uint16_t closed = 0;
  {
    const auto gone = tcp_listen("0.0.0.0");
    closed = port_of(gone);
  }
  const std::string host = to_string(host_);
  const std::string gateway = a->reply.endpoint->gateway;
  std::thread server([&] {
    for (int i = 0; i < 2; ++i) {
      UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const auto all = read_to_end(fd);
      [[maybe_unused]] const auto written = write_all(fd, "got " + all);
    }
  });
  for (const auto& to : {host, gateway}) {
    EXPECT_EQ(room_->run_inside(a->netns,
                                [&] {
                                  UniqueFd fd;
                                  if (tcp_connect(to, port, fd) != 0) return 1;
                                  if (!write_all(fd, "this")) return 2;
                                  ::shutdown(fd.get(), SHUT_WR);
                                  return read_to_end(fd) == "got this" ? 0 : 3;
                                }),
              0)
        << to;
  }
  server.join();
  for (const auto& to : {host, gateway}) {
    EXPECT_EQ(room_->run_inside(a->netns,
                                [&] {
                                  UniqueFd fd;
                                  return tcp_connect(to, closed, fd);
                                }),
              ECONNREFUSED)
        << to;
  }
  // What listens on the host's loopback alone is not reached by the gateway.
  EXPECT_EQ(room_->run_inside(a->netns,
                              [&] {
                                UniqueFd fd;
                                return tcp_connect(gateway, loopback_port, fd);
                              }),
            ECONNREFUSED);
}

TEST_F(Netstack, OutgoingUdpGoesThroughLibslirp) {
  if (host_.value == 0) GTEST_SKIP() << "the host has only loopback";
  const auto a = room_->attach(id_of("aa"));
  ASSERT_TRUE(a) << a.error().message;
  UniqueFd server(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto any = *SocketAddress::parse("0.0.0.0", 0);
  ASSERT_EQ(::bind(server.get(), any.get(), any.size()), 0);
  std::thread answer([&] {
    std::vector<char> text(20000);
    for (int i = 0; i < 2; ++i) {
      sockaddr_storage peer{};
      socklen_t size = sizeof peer;
      pollfd p{server.get(), POLLIN, 0};
      if (::poll(&p, 1, 5000) != 1) return;
      const ssize_t n = ::recvfrom(server.get(), text.data(), text.size(), 0,
                                   reinterpret_cast<sockaddr*>(&peer), &size);
      ::sendto(server.get(), text.data(), static_cast<std::size_t>(n), 0,
               reinterpret_cast<sockaddr*>(&peer), size);
    }
  });
  for (const auto& ip : {to_string(host_), a->reply.endpoint->gateway}) {
    const auto to = *SocketAddress::parse(ip, port_of(server));
    EXPECT_EQ(room_->run_inside(a->netns,
                                [&] {
                                  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
                                  const timeval limit{60, 0};
                                  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit,
                                               sizeof limit);
                                  if (::connect(fd.get(), to.get(), to.size()) != 0) return 1;
                                  std::vector<char> text(10000, 'u');
                                  if (::send(fd.get(), text.data(), text.size(), 0) < 0) return 2;
                                  const auto n = ::recv(fd.get(), text.data(), text.size(), 0);
                                  return n == 10000 ? 0 : 3;
                                }),
              0)
        << ip;
  }
  answer.join();
}

TEST_F(Netstack, TheGatewayAnswersNames) {
  const auto a = room_->attach(id_of("aa"));
  ASSERT_TRUE(a) << a.error().message;
  const auto gateway = *SocketAddress::parse(a->reply.endpoint->gateway, 53);
  const std::string name(
      "\x04host\x06"
      "docker\x08internal\0\0\1\0\1",
      26);
  const std::string query = std::string("\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12) + name;
  EXPECT_EQ(room_->run_inside(a->netns,
                              [&] {
                                UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
                                const timeval limit{60, 0};
                                ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit,
                                             sizeof limit);
                                if (::connect(fd.get(), gateway.get(), gateway.size()) != 0)
                                  return 1;
                                ::send(fd.get(), query.data(), query.size(), 0);
                                std::array<std::uint8_t, 512> m{};
                                const ssize_t n = ::recv(fd.get(), m.data(), m.size(), 0);
                                if (n != static_cast<ssize_t>(query.size()) + 16) return 2;
                                const auto* ip = &m[static_cast<std::size_t>(n) - 4];
                                const auto want = htonl(gateway.v4().value);
                                return std::memcmp(ip, &want, 4) == 0 ? 0 : 3;
                              }),
            0);
}

TEST_F(Netstack, OtherNamesAreAskedOfTheHostsResolvers) {
  if (!exists("/etc/resolv.conf")) GTEST_SKIP() << "no /etc/resolv.conf";
  const auto a = room_->attach(id_of("aa"));
  ASSERT_TRUE(a) << a.error().message;
  const auto gateway = *SocketAddress::parse(a->reply.endpoint->gateway, 53);
  // Whatever the answer: one comes, from the sandbox that may read no other file.
  const std::string query("\x12\x34\x01\0\0\1\0\0\0\0\0\0\7invalid\0\0\1\0\1", 25);
  EXPECT_EQ(room_->run_inside(a->netns,
                              [&] {
                                UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
                                const timeval limit{60, 0};
                                ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit,
                                             sizeof limit);
                                if (::connect(fd.get(), gateway.get(), gateway.size()) != 0)
                                  return 1;
                                ::send(fd.get(), query.data(), query.size(), 0);
                                std::array<char, 512> m{};
                                const ssize_t n = ::recv(fd.get(), m.data(), m.size(), 0);
                                return n >= 12 && (m[2] & 0x80) != 0 ? 0 : 2;
                              }),
            0);
}

TEST_F(Netstack, ASuccessorServesTheSamePortsWithinASecond) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a) << a.error().message;
  const auto before = *a->reply.endpoint;
  const auto port = before.ports[0].host_port;
  const auto server = room_->start_inside(a->netns, [] { return echo_server(80, 1000); });
  ASSERT_NE(talk("127.0.0.1", port, "one"), "silence");
  room_->kill_netstack();
  const auto start = std::chrono::steady_clock::now();
  // Nobody serves it, yet it is not refused: the connection waits for the successor.
  UniqueFd waiting;
  EXPECT_EQ(tcp_connect("127.0.0.1", port, waiting), 0);
  const auto started = room_->start_netstack();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_TRUE(write_all(waiting, "two"));
  ::shutdown(waiting.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(waiting), before.gateway + "\ntwo");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);  // ten times what is promised
  const auto listed = room_->ask(op::List{});
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->reply.endpoints.size(), 1U);
  EXPECT_EQ(listed->reply.endpoints[0].endpoint_id, before.endpoint_id);
  // Its address stays taken; after keep() without it nothing is left.
  const auto b = room_->attach(id_of("bb"));
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_NE(b->reply.endpoint->address, before.address);
  EXPECT_EQ(room_->run_inside(b->netns, [&] { return ping(before.address); }), 0);
  ASSERT_TRUE(room_->ask(op::Keep{}));
  UniqueFd fd;
  for (int i = 0; i < 6000 && room_->vault().size() > 1; ++i) ::usleep(10'000);
  EXPECT_EQ(room_->vault().size(), 1U) << "the subnet alone stays";
  EXPECT_EQ(tcp_connect("127.0.0.1", port, fd), ECONNREFUSED);
}

TEST_F(Netstack, PutsAllItHasIntoAnotherKeepersVault) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a) << a.error().message;
  Vault another;
  const auto connection = connect_unix(room_->socket(), SOCK_SEQPACKET);
  ASSERT_TRUE(connection);
  const auto given = give_vault(*connection, another.open());
  ASSERT_TRUE(given) << given.error().message;
  // The subnet, the endpoint, its ports; and what comes later.
  for (int i = 0; i < 6000 && another.size() < 3; ++i) ::usleep(10'000);
  EXPECT_EQ(another.size(), 3U);
  room_->vault().close();  // the old keeper's: nobody cares
  const auto b = room_->attach(id_of("bb"));
  ASSERT_TRUE(b) << b.error().message;
  for (int i = 0; i < 6000 && another.size() < 4; ++i) ::usleep(10'000);
  EXPECT_EQ(another.size(), 4U);
}

TEST_F(Netstack, GivesAContainerBackWhatItHadWhenTheVaultIsLost) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80), tcp_port(81)});
  ASSERT_TRUE(a) << a.error().message;
  const auto before = *a->reply.endpoint;
  const auto port = before.ports[0].host_port;
  const auto server = room_->start_inside(a->netns, [] {
    ::close_range(3, ~0U, 0);  // the vault's: it would hold the port
    return echo_server(80, 1000);
  });
  ASSERT_NE(talk("127.0.0.1", port, "one"), "silence");
  for (const bool with_its_interface : {true, false}) {
    room_->kill_netstack();
    room_->vault().forget();
    if (!with_its_interface) {  // as when the bridge's namespace is lost too
      ASSERT_EQ(room_->run_inside(a->netns, [] { return ::system("ip link delete eth0"); }), 0);
    }
    const auto started = room_->start_netstack();
    ASSERT_TRUE(started) << started.error().message;
    UniqueFd fd;
    EXPECT_EQ(tcp_connect("127.0.0.1", port, fd), ECONNREFUSED);
    for (int i = 0; i < 2; ++i) {  // once more changes nothing
      const auto back = restore_endpoint(room_->socket(), before, a->netns);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(json::to_text(*back), json::to_text(before));
    }
    EXPECT_EQ(talk("127.0.0.1", port, "two"), before.gateway + "\ntwo");
    const auto b = room_->attach(id_of("bb"));
    ASSERT_TRUE(b) << b.error().message;
    EXPECT_EQ(b->reply.endpoint->gateway, before.gateway);
    EXPECT_NE(b->reply.endpoint->address, before.address);
    EXPECT_EQ(room_->run_inside(b->netns, [&] { return ping(before.address); }), 0);
  }
}

TEST_F(Netstack, RefusesToGiveBackWhatIsAnothersByNow) {
  const auto a = room_->attach(id_of("aa"), {tcp_port(80)});
  ASSERT_TRUE(a) << a.error().message;
  const auto before = *a->reply.endpoint;
  room_->kill_netstack();
  room_->vault().forget();
  const auto started = room_->start_netstack();
  ASSERT_TRUE(started) << started.error().message;
  const auto another = tcp_listen("0.0.0.0", before.ports[0].host_port);
  ASSERT_TRUE(another);
  const auto refused = restore_endpoint(room_->socket(), before, a->netns);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::conflict) << refused.error().message;
  // Its address was not taken for nothing.
  const auto b = room_->attach(id_of("bb"));
  ASSERT_TRUE(b) << b.error().message;
  EXPECT_EQ(b->reply.endpoint->address, before.address);
}

TEST_F(Netstack, ARequestWithoutAContainerIsRefused) {
  EXPECT_EQ("attach: the request names no container", room_->ask(op::Attach{}).error().message);
  EXPECT_EQ("restore: the request names no container", room_->ask(op::Restore{}).error().message);
  EXPECT_EQ("netstack knows no request dance",
            room_->ask(message::Unknown{"dance"}).error().message);
  EXPECT_EQ("adopt: one descriptor comes with it", room_->ask(op::Adopt{}).error().message);
}

TEST_F(Netstack, IsSandboxed) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need other system calls";
#endif
  // It listens before the sandbox stands, and answers after.
  ASSERT_TRUE(room_->ask(op::Hello{}));
  const auto status = read_file(fmt::format("/proc/{}/status", room_->netstack_pid()));
  ASSERT_TRUE(status) << status.error().message;
  EXPECT_NE(status->find("Seccomp:\t2"), std::string::npos);
  EXPECT_NE(status->find("NoNewPrivs:\t1"), std::string::npos);
  // net_bind_service, net_admin, net_raw, sys_admin
  EXPECT_NE(status->find("CapEff:\t0000000000203400"), std::string::npos) << *status;
}

}  // namespace
}  // namespace coracle::netstack::test
