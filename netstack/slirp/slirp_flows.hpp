// One libslirp with the flows of one container: its outgoing UDP and ICMP, and TCP where the kernel
// lacks what egress needs.
//
// libslirp gives no way to close a single flow, and keeps an idle one for four minutes. It does
// close all that it has when it is thrown away: so each container has its own, and
// netstack/slirp/slirp.hpp puts a fresh one beside it when it is full.
//
// libslirp wants to be asked before every poll(2) which descriptors it waits for. It is asked only
// after something happened in it, and its descriptors stand in an epoll descriptor of their own, so
// that relays do not pay for it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/address.hpp"
#include "netstack/base/shares.hpp"

struct Slirp;

namespace coracle::netstack {

// What tells one flow of a container from another in libslirp: protocol and source port. None: each
// frame may be a flow of its own (a ping, a fragment).
using FlowKey = std::optional<std::uint32_t>;

// An IPv4 packet in an ethernet frame, as far as it says whose it is.
struct FlowFrame {
  Ipv4 source;
  FlowKey flow;
};
// Nothing for what is not a whole IPv4 header.
std::optional<FlowFrame> parse_flow(std::span<const std::uint8_t> frame);

class SlirpFlows {
 public:
  struct Settings {
    Subnet network;
    Ipv4 host;  // its own address on the uplink
    Ipv4 name_server;
    std::uint32_t mtu = 0;
    int uplink = -1;  // borrowed
    Mac uplink_mac{};
  };
  static Result<std::unique_ptr<SlirpFlows>> make(Loop& loop, const Settings& settings,
                                                  const TenantPtr& tenant);
  ~SlirpFlows();
  SlirpFlows(const SlirpFlows&) = delete;
  SlirpFlows& operator=(const SlirpFlows&) = delete;

  // A frame from the container. After some of them: turn().
  void input(std::span<const std::uint8_t> frame, const FlowKey& flow);
  // Tells libslirp what is ready and asks what it waits for now.
  void turn();
  [[nodiscard]] bool has(const FlowKey& flow) const { return flow && flows_.contains(*flow); }
  [[nodiscard]] std::size_t size() const { return sockets_.size(); }

 private:
  struct Callbacks;  // libslirp's calls into this object
  struct Timer;
  SlirpFlows(Loop& loop, int uplink, const TenantPtr& tenant)
      : loop_(loop), uplink_(uplink), charge_(tenant, 0) {}
  Result<> start(const Settings& settings);
  void on_ready();
  int add_poll(int fd, int events);

  Loop& loop_;
  int uplink_;
  Charge charge_;
  UniqueFd epoll_;
  Slirp* slirp_ = nullptr;
  Loop::Watch epoll_watch_;
  Loop::Timer wake_;
  Loop::Clock::time_point last_turn_{};
  FlowKey fed_;                           // whose frame libslirp has at the moment
  std::map<int, FlowKey> sockets_;        // that it has open
  std::map<std::uint32_t, int> flows_;    // the same by their flow
  std::map<int, std::uint32_t> watched_;  // fd -> events in epoll_
  std::map<int, std::uint32_t> ready_;    // fd -> events that came
  std::vector<int> polled_;               // by libslirp's index
};

}  // namespace coracle::netstack
