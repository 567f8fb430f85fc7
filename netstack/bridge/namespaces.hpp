// Network namespaces for containers, made ahead: making one waits for RCU and RTNL, 10 to 30 ms
// that are not on the path of `docker run` this way. A namespace is given once and never used
// again; it goes with its last holder, and its veth pair with it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/worker.hpp"
#include "netstack/bridge/netlink.hpp"

namespace coracle::netstack {

struct ReadyNamespace {
  UniqueFd netns;
  std::unique_ptr<Netlink> netlink;  // lives inside
  int eth0 = 0;                      // index of its end of the veth, up; 0: lo only
  int port = 0;                      // index of the bridge's end
};

// A netlink socket in another namespace. On a thread in the bridge's, which comes back to it.
Result<Netlink> netlink_in(const UniqueFd& netns);

enum class Kind : std::uint8_t { with_veth, lo_only };

class NamespacePool {
 public:
  using OnReady = std::function<void(Result<ReadyNamespace>)>;
  struct Bridge {
    int bridge_netns = -1;  // borrowed; outlives the pool
    int bridge_index = 0;
    std::uint32_t mtu = 0;
  };
  // `netlink` lives in the bridge namespace.
  NamespacePool(Loop& loop, Worker& maker, Bridge bridge, Netlink netlink);

  // Calls `ready` on the loop: at once when one is there.
  void take(Kind kind, OnReady ready);
  // Makes what is missing. Called when the loop starts; take() sees to it later.
  void refill();
  [[nodiscard]] const Bridge& bridge() const { return bridge_; }

 private:
  struct Shelf {
    std::vector<ReadyNamespace> ready;
    std::vector<OnReady> waiting;
    std::size_t being_made = 0;
    std::size_t wanted = 0;
  };
  void make_one(Kind kind);
  void made(Kind kind, Result<ReadyNamespace> result);
  Shelf& shelf(Kind kind) { return kind == Kind::with_veth ? veths_ : bare_; }

  Loop& loop_;
  Worker& maker_;  // its thread is in the bridge namespace
  Bridge bridge_;
  std::shared_ptr<Netlink> netlink_;  // used by the maker only
  Shelf veths_;
  Shelf bare_;
  Loop::Timer refill_soon_;
};

}  // namespace coracle::netstack
