// The pump of the uplink: what containers send to the outside comes here as ethernet frames. A SYN
// is egress's; the rest goes to libslirp (netstack/slirp/slirp_flows.hpp): outgoing UDP and ICMP,
// and TCP where the kernel lacks what egress needs.
//
// Each container has a libslirp of its own, made when it sends its first packet and thrown away
// with all its sockets when the container ends. When it is full a fresh one takes the new flows,
// and the one that was full before goes: so a container's oldest flows give way to its newest
// (netstack/base/shares.hpp). Frames of no container are dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "netstack/base/log_limit.hpp"
#include "netstack/slirp/slirp_flows.hpp"

namespace coracle::netstack {

class SlirpStack {
 public:
  // Is shown every frame first; true: it was dealt with.
  using Filter = std::function<bool(std::span<const std::uint8_t> frame)>;

  //   uplinks   at least one; see bridge.hpp
  //   settings  its `uplink` is put in here
  static Result<std::unique_ptr<SlirpStack>> make(Loop& loop, Shares& shares,
                                                  std::vector<UniqueFd> uplinks,
                                                  SlirpFlows::Settings settings);
  void set_filter(Filter filter) { filter_ = std::move(filter); }
  [[nodiscard]] int uplink() const { return uplinks_.front().get(); }

 private:
  struct Guest {
    std::unique_ptr<SlirpFlows> young;
    std::unique_ptr<SlirpFlows> old;  // was full once: takes no new flow
    bool fed = false;                 // wants its turn
  };
  SlirpStack(Loop& loop, Shares& shares, std::vector<UniqueFd> uplinks,
             SlirpFlows::Settings settings)
      : loop_(loop), shares_(shares), uplinks_(std::move(uplinks)), settings_(settings) {}
  void read_uplink(const UniqueFd& uplink);
  void take(std::span<const std::uint8_t> frame);
  SlirpFlows* flows_for(Guest& guest, const TenantPtr& tenant, const FlowKey& flow);
  bool renew(Guest& guest, const TenantPtr& tenant);

  Loop& loop_;
  Shares& shares_;
  std::vector<UniqueFd> uplinks_;
  SlirpFlows::Settings settings_;
  Filter filter_;
  std::vector<Loop::Watch> watches_;
  std::vector<std::uint8_t> frame_;
  std::map<const Tenant*, Guest> guests_;
  std::vector<Guest*> fed_;
  Seldom full_, not_made_;
};

}  // namespace coracle::netstack
