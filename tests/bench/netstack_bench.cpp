// What netstack costs, beside the host's bare loopback in the same minute: attach with a filled
// pool, a published port and an outgoing connection in Gbit/s, latency and new connections.
// Run as an unprivileged user; prints a table.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <vector>

#include "engine/base/file.hpp"
#include "netstack/relay/egress.hpp"
#include "tests/integration/netstack_harness.hpp"

namespace coracle::netstack::test {
namespace {

using Clock = std::chrono::steady_clock;
double seconds(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

UniqueFd connect_to(const SocketAddress& to) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  for (int i = 0; i < 100; ++i) {
    if (::connect(fd.get(), to.get(), to.size()) == 0) return fd;
    ::usleep(20'000);
    fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  }
  return {};
}

// A server that reads ('s'), writes ('w'), or answers each byte with one ('e'), as the first byte
// of a connection says; 'c' is closed at once. A child process each but for 'c'.
int serve(std::uint16_t port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM, 0));
  const int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const SocketAddress any(Ipv4{0}, port);
  if (::bind(listener.get(), any.get(), any.size()) != 0) return 1;
  ::listen(listener.get(), 4096);
  std::vector<char> block(1 << 17, 'x');
  for (;;) {
    UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
    char what = 0;
    if (::read(fd.get(), &what, 1) != 1 || what == 'c') continue;
    if (::fork() != 0) continue;
    if (what == 's')
      while (::read(fd.get(), block.data(), block.size()) > 0) {
      }
    if (what == 'w')
      while (::send(fd.get(), block.data(), block.size(), MSG_NOSIGNAL) > 0) {
      }
    if (what == 'e')
      while (::read(fd.get(), block.data(), 1) == 1)
        ::send(fd.get(), block.data(), 1, MSG_NOSIGNAL);
    ::_exit(0);
  }
}

constexpr double kTime = 2.0;
double rate(const SocketAddress& to, char direction) {
  const auto fd = connect_to(to);
  std::vector<char> block(1 << 17, 'x');
  ::send(fd.get(), &direction, 1, 0);
  double bytes = 0;
  const auto start = Clock::now();
  while (seconds(start) < kTime) {
    const ssize_t n = direction == 's' ? ::send(fd.get(), block.data(), block.size(), MSG_NOSIGNAL)
                                       : ::recv(fd.get(), block.data(), block.size(), 0);
    if (n <= 0) break;
    bytes += static_cast<double>(n);
  }
  return bytes * 8 / seconds(start) / 1e9;
}
double latency_us(const SocketAddress& to) {
  const auto fd = connect_to(to);
  char c = 'e';
  ::send(fd.get(), &c, 1, 0);
  std::vector<double> all;
  for (int i = 0; i < 4000; ++i) {
    const auto start = Clock::now();
    ::send(fd.get(), &c, 1, MSG_NOSIGNAL);
    if (::recv(fd.get(), &c, 1, 0) != 1) return -1;
    all.push_back(seconds(start) * 1e6);
  }
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}
double connections(const SocketAddress& to) {
  int count = 0;
  const auto start = Clock::now();
  while (seconds(start) < kTime) {
    const auto fd = connect_to(to);
    char c = 'c';
    ::send(fd.get(), &c, 1, MSG_NOSIGNAL);
    if (::recv(fd.get(), &c, 1, 0) < 0) break;
    ++count;
  }
  return count / seconds(start);
}

// What netstack's main thread has run so far. On a busy machine it says more than the time that
// passed. See proc_pid_schedstat(5).
double cpu_us(pid_t netstack) {
  const auto text = read_file(fmt::format("/proc/{}/schedstat", netstack));
  return text ? std::strtod(text->c_str(), nullptr) / 1e3 : 0;
}

int measure(const char* what, const SocketAddress& to, pid_t netstack) {
  const double start = cpu_us(netstack);
  const double in = rate(to, 's');
  const double out = rate(to, 'w');
  const double moved = cpu_us(netstack);
  const double latency = latency_us(to);
  const double before = cpu_us(netstack);
  const double made = connections(to);
  const double after = cpu_us(netstack);
  std::printf(
      "%-24s in %6.2f out %6.2f Gbit/s, %6.0f us/Gbit  p50 %6.1f us  %7.0f connections/s, %5.1f "
      "us each\n",
      what, in, out, (moved - start) / ((in + out) * kTime), latency, made,
      (after - before) / (made * kTime));
  std::fflush(stdout);
  return 0;
}

int bench() {
  auto made = Room::make();
  if (!made || !(*made)->start_netstack()) {
    std::fprintf(stderr, "no netstack here\n");
    return 1;
  }
  auto& room = **made;
  std::vector<double> attach_ms;
  for (int i = 0; i < 60; ++i) {
    ::usleep(150'000);  // the pool is filled again
    const auto start = Clock::now();
    if (!room.attach(id_of(fmt::format("{:04x}", i)), {{"tcp", 80, "", 0, 0}})) return 1;
    attach_ms.push_back(seconds(start) * 1e3);
    if (!room.ask(op::Detach{id_of(fmt::format("{:04x}", i))})) return 1;
  }
  std::sort(attach_ms.begin(), attach_ms.end());
  std::printf("attach, pool filled: min %.2f  p50 %.2f  p90 %.2f ms\n", attach_ms.front(),
              attach_ms[30], attach_ms[54]);
  if (const auto rollup = read_file(fmt::format("/proc/{}/smaps_rollup", room.netstack_pid())))
    std::printf("%s\n", rollup->substr(0, 200).c_str());
  const auto a = room.attach(id_of("aa"), {{"tcp", 80, "", 0, 0}});
  const auto b = room.attach(id_of("bb"));
  if (!a || !b) return 1;
  const auto inside = room.start_inside(a->netns, [] { return serve(80); });
  const auto outside = room.start_inside(b->netns, [] { return 0; });
  const pid_t host = ::fork();
  if (host == 0) ::_exit(serve(18080));
  const Child host_server(host);
  const Ipv4 host_ip = host_address();
  for (int round = 0; round < 2; ++round) {
    const pid_t pid = room.netstack_pid();
    measure("loopback", SocketAddress(Ipv4{0x7f000001}, 18080), pid);
    measure("published port", SocketAddress(host_ip, a->reply.endpoint->ports[0].host_port), pid);
    room.run_inside(b->netns,
                    [&] { return measure("outgoing", SocketAddress(host_ip, 18080), pid); });
    const auto peer = *parse_ipv4(a->reply.endpoint->address);
    room.run_inside(b->netns, [&] { return measure("container to container", {peer, 80}, pid); });
  }
  return 0;
}

}  // namespace
}  // namespace coracle::netstack::test

int main() {
  ::setpgid(0, 0);
  return coracle::netstack::test::bench();
}
