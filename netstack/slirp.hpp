// libslirp: outgoing UDP and ICMP of containers, and their TCP where the kernel lacks what egress
// needs. Also the pump of the uplink that feeds both.
//
// libslirp wants to be asked before every poll(2) which descriptors it waits for. It is asked only
// after something happened in it, and its descriptors stand in an epoll descriptor of their own, so
// that relays do not pay for it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "netstack/address.hpp"
#include "netstack/loop.hpp"

struct Slirp;

namespace coracle::netstack {

class SlirpStack {
 public:
  struct Settings {
    Subnet network;
    Ipv4 host;  // its own address on the uplink
    Ipv4 name_server;
    std::uint32_t mtu = 0;
  };
  // Is shown every frame first; true: it was dealt with.
  using Filter = std::function<bool(std::span<const std::uint8_t> frame)>;

  static Result<std::unique_ptr<SlirpStack>> make(Loop& loop, UniqueFd uplink,
                                                  const Settings& settings);
  ~SlirpStack();
  SlirpStack(const SlirpStack&) = delete;
  SlirpStack& operator=(const SlirpStack&) = delete;
  void set_filter(Filter filter) { filter_ = std::move(filter); }
  [[nodiscard]] int uplink() const { return uplink_.get(); }

 private:
  struct Callbacks;  // libslirp's calls into this object
  struct Timer;
  SlirpStack(Loop& loop, UniqueFd uplink) : loop_(loop), uplink_(std::move(uplink)) {}
  void read_uplink();
  void on_ready();
  // Tells libslirp what is ready and asks what it waits for now.
  void turn();
  int add_poll(int fd, int events);

  Loop& loop_;
  UniqueFd uplink_;
  UniqueFd epoll_;
  Slirp* slirp_ = nullptr;
  Filter filter_;
  Loop::Watch uplink_watch_;
  Loop::Watch epoll_watch_;
  Loop::Timer wake_;
  Loop::Clock::time_point last_turn_{};
  std::vector<std::uint8_t> frame_;
  std::map<int, std::uint32_t> watched_;  // fd -> events in epoll_
  std::map<int, std::uint32_t> ready_;    // fd -> events that came
  std::vector<int> polled_;               // by libslirp's index
};

}  // namespace coracle::netstack
