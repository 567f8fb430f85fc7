// What one container does to netstack, another one does not feel: floods of each kind from one
// namespace while a second one keeps its published port, its names and its outgoing connections;
// what is given back when the flooder ends; and who may speak in whose name on the bridge.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>

#include <gtest/gtest.h>

#include "engine/base/file.hpp"
#include "netstack/relay/egress.hpp"
#include "tests/integration/netstack_harness.hpp"

namespace coracle::netstack::test {
namespace {

constexpr std::size_t kDescriptors = 4096;  // that netstack may have here

bool eventually(const std::function<bool()>& condition, int seconds = 60) {
  for (int i = 0; i < seconds * 20; ++i) {
    if (condition()) return true;
    ::usleep(50'000);
  }
  return false;
}

SocketAddress address_of(const std::string& ip, std::uint16_t port) {
  return *SocketAddress::parse(ip, port);
}

void set_limit(const UniqueFd& fd, int ms) {
  const timeval limit{ms / 1000, ms % 1000 * 1000};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);  // of connect(2) too
}

UniqueFd listen_at(const std::string& ip, std::uint16_t port, int backlog) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto a = address_of(ip, port);
  if (::bind(fd.get(), a.get(), a.size()) != 0 || ::listen(fd.get(), backlog) != 0) return {};
  return fd;
}

// Connects, and says and hears a byte. False: not within the time.
bool exchange(const SocketAddress& to, int ms) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_limit(fd, ms);
  char c = 'x';
  return ::connect(fd.get(), to.get(), to.size()) == 0 &&
         ::send(fd.get(), &c, 1, MSG_NOSIGNAL) == 1 && ::recv(fd.get(), &c, 1, 0) == 1;
}

// Answers each connection's first byte with one.
int answer_bytes(const UniqueFd& listener) {
  for (;;) {
    const UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
    if (!fd) return 1;
    set_limit(fd, 2000);
    char c = 0;
    if (::recv(fd.get(), &c, 1, 0) == 1) ::send(fd.get(), &c, 1, MSG_NOSIGNAL);
  }
}

// A question to which netstack itself has the answer.
std::string question() {
  return std::string("\x12\x34\x01\0\0\1\0\0\0\0\0\0", 12) + std::string(
                                                                 "\x04host\x06"
                                                                 "docker\x08internal\0\0\1\0\1",
                                                                 26);
}
bool name_by_udp(const SocketAddress& server, int ms) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  set_limit(fd, ms);
  const auto q = question();
  std::array<char, 512> m{};
  return ::connect(fd.get(), server.get(), server.size()) == 0 &&
         ::send(fd.get(), q.data(), q.size(), 0) > 0 &&
         ::recv(fd.get(), m.data(), m.size(), 0) > 12;
}
bool name_by_tcp(const SocketAddress& server, int ms) {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  set_limit(fd, ms);
  const auto q = std::string(1, '\0') + static_cast<char>(question().size()) + question();
  std::array<char, 512> m{};
  return ::connect(fd.get(), server.get(), server.size()) == 0 &&
         ::send(fd.get(), q.data(), q.size(), MSG_NOSIGNAL) > 0 &&
         ::recv(fd.get(), m.data(), m.size(), 0) > 2;
}
bool datagram_there_and_back(const SocketAddress& to, int ms) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  set_limit(fd, ms);
  char c = 'u';
  return ::connect(fd.get(), to.get(), to.size()) == 0 && ::send(fd.get(), &c, 1, 0) == 1 &&
         ::recv(fd.get(), &c, 1, 0) == 1;
}

class Shares : public ::testing::Test {
 protected:
  void SetUp() override {
    auto made = Room::make();
    if (!made) GTEST_SKIP() << made.error().message;
    room_ = *std::move(made);
    room_->limit_descriptors(kDescriptors);
    const auto started = room_->start_netstack();
    ASSERT_TRUE(started) << started.error().message;
    if (host_address().value == 0) GTEST_SKIP() << "the host has only loopback";
    host_ = to_string(host_address());
    PortRequest port;
    port.container_port = 80;
    auto a = room_->attach(id_of("aa"), {port});
    ASSERT_TRUE(a) << a.error().message;
    flooder_ = *std::move(a);
    auto b = room_->attach(id_of("bb"), {port});
    ASSERT_TRUE(b) << b.error().message;
    other_ = *std::move(b);
    outside_ = listen_at("0.0.0.0", 0, 4096);
    outside_udp_ = UniqueFd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const auto any = address_of("0.0.0.0", local_address(outside_.get())->port());
    ASSERT_EQ(::bind(outside_udp_.get(), any.get(), any.size()), 0);
    outside_at_ = address_of(host_, any.port());
    servers_.push_back(in_a_process([this] { return answer_bytes(outside_); }));
    servers_.push_back(in_a_process([this]() -> int {
      for (;;) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        char c = 0;
        if (::recvfrom(outside_udp_.get(), &c, 1, 0, reinterpret_cast<sockaddr*>(&peer), &size) >=
            0)
          ::sendto(outside_udp_.get(), &c, 1, 0, reinterpret_cast<sockaddr*>(&peer), size);
      }
    }));
    servers_.push_back(room_->start_inside(
        other_.netns, [] { return answer_bytes(listen_at("0.0.0.0", 80, 4096)); }));
    gateway_dns_ = address_of(other_.reply.endpoint->gateway, 53);
    ASSERT_EQ(unserved(), "") << "before any flood";
    at_rest_ = descriptors();
  }
  static Child in_a_process(const std::function<int()>& function) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::_exit(function());
    }
    return Child(pid);
  }

  // What the other container does not have; "" when it has all. Each within seconds, retried as
  // programs do.
  std::string unserved() {
    const auto port = address_of("127.0.0.1", other_.reply.endpoint->ports[0].host_port);
    if (!eventually([&] { return exchange(port, 3000); })) return "its published port";
    const auto inside = [&](const std::function<bool()>& function) {
      return room_->run_inside(other_.netns, [&] {
        for (int i = 0; i < 10; ++i)
          if (function()) return 0;
        return 1;
      }) == 0;
    };
    if (!inside([&] { return exchange(outside_at_, 3000); })) return "outgoing connections";
    if (!inside([&] { return datagram_there_and_back(outside_at_, 1000); })) return "outgoing UDP";
    if (!inside([&] { return name_by_udp(gateway_dns_, 1000); })) return "names";
    if (!inside([&] { return name_by_tcp(gateway_dns_, 3000); })) return "names by TCP";
    return "";
  }
  std::size_t descriptors() {
    std::error_code failed;
    std::size_t count = 0;
    const auto dir = fmt::format("/proc/{}/fd", room_->netstack_pid());
    for (std::filesystem::directory_iterator i(dir, failed), end; i != end; i.increment(failed))
      ++count;
    return count;
  }
  Child flood(const std::function<int()>& function) {
    return room_->start_inside(flooder_.netns, [&] {
      rlimit limit{};
      ::getrlimit(RLIMIT_NOFILE, &limit);
      limit.rlim_cur = limit.rlim_max;
      ::setrlimit(RLIMIT_NOFILE, &limit);
      return function();
    });
  }
  // While the flood stands the other one is served; when its container has ended, all is as before.
  void feels_nothing_of(Child flooder, std::size_t held_at_least) {
    EXPECT_TRUE(eventually([&] { return descriptors() >= at_rest_ + held_at_least; }))
        << "the flood is none: " << descriptors() << " descriptors, at rest " << at_rest_;
    for (int i = 0; i < 3; ++i) EXPECT_EQ(unserved(), "");
    EXPECT_LT(descriptors(), kDescriptors * 3 / 4) << "of the reserve nothing is given";
    flooder.stop();
    ASSERT_TRUE(room_->ask(op::Detach{id_of("aa")}));
    // What was made ahead (sockets, pipes) may differ.
    EXPECT_TRUE(eventually([&] { return descriptors() < at_rest_ + 200; }))
        << descriptors() << " descriptors, at rest " << at_rest_;
    EXPECT_EQ(unserved(), "");
  }

  std::unique_ptr<Room> room_;
  std::string host_;
  Room::Answer flooder_, other_;
  UniqueFd outside_, outside_udp_;
  SocketAddress outside_at_, gateway_dns_;
  std::vector<Child> servers_;
  std::size_t at_rest_ = 0;
};

TEST_F(Shares, UdpFromEachOfItsPorts) {
  feels_nothing_of(flood([&]() -> int {
                     const auto to = address_of(host_, 9);
                     const UniqueFd raw(::socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
                     std::array<std::uint8_t, 9> datagram{0, 0, 0, 9, 0, 9, 0, 0, 'x'};
                     for (std::uint32_t port = 1024;; port = port < 65535 ? port + 1 : 1024) {
                       datagram[0] = static_cast<std::uint8_t>(port >> 8);
                       datagram[1] = static_cast<std::uint8_t>(port);
                       ::sendto(raw.get(), datagram.data(), datagram.size(), 0, to.get(),
                                to.size());
                     }
                     return 0;
                   }),
                   400);
}

// Each is followed by the kernel, since its address is changed on the way: its table fills too.
TEST_F(Shares, UdpToEachPortOfTheGatewayFromEachOfItsPorts) {
  feels_nothing_of(flood([&]() -> int {
                     const auto to = address_of(flooder_.reply.endpoint->gateway, 0);
                     const UniqueFd raw(::socket(AF_INET, SOCK_RAW, IPPROTO_UDP));
                     std::array<std::uint8_t, 9> datagram{0, 0, 0, 0, 0, 9, 0, 0, 'x'};
                     for (std::uint32_t i = 0;; ++i) {
                       const std::uint32_t from = 1024 + i % 60000;
                       const std::uint32_t port = 1024 + i / 60000;
                       datagram[0] = static_cast<std::uint8_t>(from >> 8);
                       datagram[1] = static_cast<std::uint8_t>(from);
                       datagram[2] = static_cast<std::uint8_t>(port >> 8);
                       datagram[3] = static_cast<std::uint8_t>(port);
                       ::sendto(raw.get(), datagram.data(), datagram.size(), 0, to.get(),
                                to.size());
                     }
                   }),
                   400);
}

TEST_F(Shares, ConnectionsThatNobodyAnswers) {
  // A backlog that is full: SYNs to it are lost, as in a black hole.
  const auto full = listen_at("0.0.0.0", 0, 0);
  const auto to = address_of(host_, local_address(full.get())->port());
  std::vector<UniqueFd> fill;
  for (int i = 0; i < 4; ++i) {
    fill.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ::connect(fill.back().get(), to.get(), to.size());
  }
  feels_nothing_of(flood([&]() -> int {
                     std::vector<UniqueFd> all;
                     for (;;) {
                       UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
                       if (fd) {
                         ::connect(fd.get(), to.get(), to.size());
                         all.push_back(std::move(fd));
                       }
                       if (all.size() >= 8000) all.erase(all.begin(), all.begin() + 4000);
                     }
                     return 0;
                   }),
                   300);
}

TEST_F(Shares, ConnectionsThatStandIdle) {
  const auto idle = listen_at("0.0.0.0", 0, 4096);  // the kernel answers, nobody accepts
  const auto to = address_of(host_, local_address(idle.get())->port());
  feels_nothing_of(flood([&]() -> int {
                     std::vector<UniqueFd> all;
                     for (;;) {
                       UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
                       set_limit(fd, 1000);
                       if (::connect(fd.get(), to.get(), to.size()) == 0)
                         all.push_back(std::move(fd));
                     }
                     return 0;
                   }),
                   900);
}

TEST_F(Shares, ClientsOfItsPublishedPortThatStandIdle) {
  const auto port = address_of("127.0.0.1", flooder_.reply.endpoint->ports[0].host_port);
  const auto clients = in_a_process([&]() -> int {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    std::vector<UniqueFd> all;
    for (;;) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
      set_limit(fd, 1000);
      if (::connect(fd.get(), port.get(), port.size()) == 0) all.push_back(std::move(fd));
      if (all.size() == 6000) ::pause();
    }
    return 0;
  });
  feels_nothing_of(flood([]() -> int {
                     const auto listener = listen_at("0.0.0.0", 80, 4096);
                     ::pause();
                     return 0;
                   }),
                   900);
}

TEST_F(Shares, DnsConnectionsThatStandIdle) {
  feels_nothing_of(flood([&]() -> int {
                     std::vector<UniqueFd> all;
                     for (;;) {
                       UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
                       set_limit(fd, 1000);
                       if (::connect(fd.get(), gateway_dns_.get(), gateway_dns_.size()) == 0)
                         all.push_back(std::move(fd));
                       if (all.size() >= 2000) all.erase(all.begin(), all.begin() + 1000);
                     }
                     return 0;
                   }),
                   16);
}

TEST_F(Shares, QueriesForNamesWithoutEnd) {
  feels_nothing_of(flood([&]() -> int {
                     const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
                     ::connect(fd.get(), gateway_dns_.get(), gateway_dns_.size());
                     const auto known = question();
                     std::string unknown("\0\0\1\0\0\1\0\0\0\0\0\0\5aaaaa\7invalid\0\0\1\0\1", 31);
                     for (std::uint32_t i = 0;; ++i) {
                       for (std::size_t at = 0; at < 5; ++at)
                         unknown[13 + at] = static_cast<char>('a' + (i >> (4 * at)) % 16);
                       unknown[0] = static_cast<char>(i >> 8);
                       unknown[1] = static_cast<char>(i);
                       ::send(fd.get(), unknown.data(), unknown.size(), MSG_DONTWAIT);
                       ::send(fd.get(), known.data(), known.size(), MSG_DONTWAIT);
                     }
                   }),
                   0);
}

TEST_F(Shares, PingsThatNobodyAnswers) {
  feels_nothing_of(flood([&]() -> int {
                     const UniqueFd raw(::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
                     const auto to = address_of("192.0.2.1", 0);
                     for (std::uint16_t id = 0;; ++id) {
                       icmphdr echo{};
                       echo.type = ICMP_ECHO;
                       echo.un.echo.id = id;
                       echo.checksum = static_cast<std::uint16_t>(~(echo.type + id));
                       ::sendto(raw.get(), &echo, sizeof echo, 0, to.get(), to.size());
                     }
                     return 0;
                   }),
                   0);
}

// A packet socket on eth0, and where the bridge is.
struct Wire {
  UniqueFd fd;
  sockaddr_ll to{};
};
Wire wire() {
  Wire w;
  w.fd = UniqueFd(::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)));
  w.to.sll_family = AF_PACKET;
  w.to.sll_ifindex = static_cast<int>(::if_nametoindex("eth0"));
  return w;
}
void put(const Wire& w, std::span<const std::uint8_t> frame) {
  ::sendto(w.fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&w.to),
           sizeof w.to);
}

TEST_F(Shares, NinetyThousandRandomFrames) {
  const auto own = *parse_ipv4(flooder_.reply.endpoint->address);
  const auto own_mac = *parse_mac(flooder_.reply.endpoint->mac);
  const auto bridge_mac = mac_for(*parse_ipv4(flooder_.reply.endpoint->gateway));
  const auto flooder = flood([&]() -> int {
    const auto w = wire();
    std::mt19937 random(11);
    for (int i = 0; i < 90'000; ++i) {
      std::vector<std::uint8_t> frame(34 + random() % 60);
      for (auto& b : frame) b = static_cast<std::uint8_t>(random());
      std::copy(bridge_mac.begin(), bridge_mac.end(), frame.begin());
      std::copy(own_mac.begin(), own_mac.end(), frame.begin() + 6);
      frame[12] = 0x08;
      frame[13] = 0;
      frame[14] = 0x45;
      frame[16] = 0;
      frame[17] = static_cast<std::uint8_t>(frame.size() - 14);
      if (random() % 8 != 0) frame[20] = frame[21] = 0;  // else a fragment
      frame[22] = 64;
      frame[23] = std::array<std::uint8_t, 4>{1, 6, 17, 2}[random() % 4];
      for (std::size_t at = 0; at < 4; ++at)
        frame[26 + at] = static_cast<std::uint8_t>(own.value >> (24 - 8 * at));
      std::uint32_t sum = 0;
      frame[24] = frame[25] = 0;
      for (std::size_t at = 14; at < 34; at += 2)
        sum += static_cast<std::uint32_t>(frame[at] << 8 | frame[at + 1]);
      while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
      frame[24] = static_cast<std::uint8_t>(~sum >> 8);
      frame[25] = static_cast<std::uint8_t>(~sum);
      put(w, frame);
    }
    ::pause();
    return 0;
  });
  for (int i = 0; i < 3; ++i) EXPECT_EQ(unserved(), "");
  EXPECT_LT(descriptors(), kDescriptors * 3 / 4);
}

// From the first container to a third, of which the second is the one whose name is abused.
class Names : public Shares {
 protected:
  void SetUp() override {
    Shares::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto c = room_->attach(id_of("cc"));
    ASSERT_TRUE(c) << c.error().message;
    third_ = *std::move(c);
    me_ = read(flooder_);
    victim_ = read(other_);
    target_ = read(third_);
  }
  struct Who {
    Mac mac{};
    Ipv4 ip;
  };
  static Who read(const Room::Answer& a) {
    return {*parse_mac(a.reply.endpoint->mac), *parse_ipv4(a.reply.endpoint->address)};
  }
  static void put4(std::vector<std::uint8_t>& f, std::size_t at, Ipv4 a) {
    for (std::size_t i = 0; i < 4; ++i)
      f[at + i] = static_cast<std::uint8_t>(a.value >> (24 - 8 * i));
  }
  // A datagram to port 7000 of the third, of one byte.
  std::vector<std::uint8_t> datagram(const Mac& from_mac, Ipv4 from, char byte) const {
    std::vector<std::uint8_t> f(14 + 20 + 8 + 1);
    std::copy(target_.mac.begin(), target_.mac.end(), f.begin());
    std::copy(from_mac.begin(), from_mac.end(), f.begin() + 6);
    const std::array<std::uint8_t, 12> head{0x08, 0, 0x45, 0, 0, 29, 0, 0, 0, 0, 64, 17};
    std::copy(head.begin(), head.end(), f.begin() + 12);
    put4(f, 26, from);
    put4(f, 30, target_.ip);
    std::uint32_t sum = 0;
    for (std::size_t at = 14; at < 34; at += 2)
      sum += static_cast<std::uint32_t>(f[at] << 8 | f[at + 1]);
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    f[24] = static_cast<std::uint8_t>(~sum >> 8);
    f[25] = static_cast<std::uint8_t>(~sum);
    f[35] = 9;
    f[36] = 7000 >> 8;
    f[37] = 7000 & 0xff;
    f[39] = 9;
    f[42] = static_cast<std::uint8_t>(byte);
    return f;
  }
  std::vector<std::uint8_t> arp_reply(const Mac& frame_mac, const Mac& mac, Ipv4 ip) const {
    std::vector<std::uint8_t> f(60);
    std::copy(target_.mac.begin(), target_.mac.end(), f.begin());
    std::copy(frame_mac.begin(), frame_mac.end(), f.begin() + 6);
    const std::array<std::uint8_t, 10> head{0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 2};
    std::copy(head.begin(), head.end(), f.begin() + 12);
    std::copy(mac.begin(), mac.end(), f.begin() + 22);
    put4(f, 28, ip);
    std::copy(target_.mac.begin(), target_.mac.end(), f.begin() + 32);
    put4(f, 38, target_.ip);
    return f;
  }
  Room::Answer third_;
  Who me_, victim_, target_;
};

TEST_F(Names, NobodySpeaksInAnothers) {
  auto ready = make_pipe();
  ASSERT_TRUE(ready);
  auto listener = room_->start_inside(third_.netns, [&] {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM, 0));
    const auto any = address_of("0.0.0.0", 7000);
    if (::bind(fd.get(), any.get(), any.size()) != 0) return 1;
    // The neighbour whose entry is to be changed.
    const auto victim = address_of(to_string(victim_.ip), 80);
    if (!exchange(victim, 60'000)) return 2;
    const auto victims_entry = [&] {
      const auto table = read_file("/proc/thread-self/net/arp").value_or("");
      const auto at = table.find(to_string(victim_.ip) + " ");
      return at == std::string::npos ? "" : table.substr(at, table.find('\n', at) - at);
    };
    const auto before = victims_entry();
    if (before.find(to_string(victim_.mac)) == std::string::npos) return 3;
    [[maybe_unused]] const auto told = ::write(ready->write.get(), "r", 1);
    set_limit(fd, 30'000);
    char c = 0;
    if (::recv(fd.get(), &c, 1, 0) != 1) return 4;
    if (c != 'g') return 5;  // one that was not the sender's own came through
    if (victims_entry().find(to_string(victim_.mac)) == std::string::npos) return 6;
    return exchange(victim, 60'000) ? 0 : 7;
  });
  char c = 0;
  ASSERT_EQ(::read(ready->read.get(), &c, 1), 1);
  EXPECT_EQ(room_->run_inside(flooder_.netns,
                              [&] {
                                const auto w = wire();
                                for (int i = 0; i < 10; ++i) {
                                  put(w, datagram(me_.mac, victim_.ip, 'i'));
                                  put(w, datagram(victim_.mac, me_.ip, 'm'));
                                  put(w, datagram(victim_.mac, victim_.ip, 'b'));
                                  put(w, datagram(me_.mac, *parse_ipv4("198.51.100.1"), 'o'));
                                  put(w, arp_reply(me_.mac, me_.mac, victim_.ip));
                                  put(w, arp_reply(victim_.mac, me_.mac, victim_.ip));
                                  put(w, arp_reply(me_.mac, victim_.mac, me_.ip));
                                }
                                ::usleep(100'000);
                                put(w, datagram(me_.mac, me_.ip, 'g'));
                                return 0;
                              }),
            0);
  EXPECT_EQ(listener.wait(), 0);
}

TEST_F(Names, ASuccessorKnowsWhoMaySpeak) {
  room_->kill_netstack();
  const auto started = room_->start_netstack();
  ASSERT_TRUE(started) << started.error().message;
  EXPECT_EQ(unserved(), "");
  // And one whose predecessor had no such rules learns it from the namespaces.
  room_->kill_netstack();
  if (room_->run_inside(room_->bridge_netns(), [] {
        return ::system("PATH=$PATH:/usr/sbin:/sbin nft delete table bridge coracle_source");
      }) != 0)
    GTEST_SKIP() << "no nft(8) here";
  const auto again = room_->start_netstack();
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(unserved(), "");
}

}  // namespace
}  // namespace coracle::netstack::test
