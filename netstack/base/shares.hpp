// How much of netstack's descriptors each container may hold, so that none can take them all.
//
// Everything that is opened on behalf of a container is charged to it: outgoing connections, those
// to its published ports, its DNS queries, its UDP flows. Nobody has a fixed share: a container may
// open more as long as it holds no more than what is still free. One that takes all it can ends
// below half, and each further one has half of what was left. The last quarter is for those that
// hold few: they find room however many take all they can. What netstack itself needs (listeners,
// namespaces, the engine's connections, accept(2)) is a reserve that is never given.
//
// Each kind has its own bound beside that, and its own answer above it (egress, dns, dns_tcp,
// slirp, port_forward, udp_forward). Where the oldest gives way to the newest this costs us a close
// and an open for each packet of a flood: a container may displace only so much a second, and what
// it sends beyond is dropped, which costs next to nothing.
//
// A container is a Tenant from attach to detach. What belongs to it holds its Tenant, never its
// address alone: the next container may have that the moment it is free.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/epoll_loop.hpp"
#include "netstack/base/address.hpp"

namespace coracle::netstack {

class Shares;

class Tenant {
 public:
  Tenant(Shares& all, Ipv4 address) : all_(all), address_(address) {}
  [[nodiscard]] Ipv4 address() const { return address_; }
  [[nodiscard]] std::size_t held() const { return held_; }
  // May it have so many more? A new connection, flow or query asks this.
  [[nodiscard]] bool may_open(std::size_t descriptors) const;
  // The same for what stands already and needs more for a while: the pipes of a relay. Not all that
  // is open can fail when it is used.
  [[nodiscard]] bool may_grow(std::size_t descriptors) const;
  // May its newest take the place of its oldest?   cost  of kDisplacements_s, in a second
  [[nodiscard]] bool may_displace(unsigned cost = 1,
                                  Loop::Clock::time_point now = Loop::Clock::now());

 private:
  friend class Charge;
  Shares& all_;
  Ipv4 address_;
  std::size_t held_ = 0;
  double displacements_ = 0;  // that it may still make
  Loop::Clock::time_point counted_{};
};
using TenantPtr = std::shared_ptr<Tenant>;

// Descriptors on a tenant's account, while it lives. May be taken without asking: some are, in
// libslirp, before one knows.
class Charge {
 public:
  Charge() = default;
  Charge(TenantPtr tenant, std::size_t descriptors);
  Charge(Charge&& o) noexcept
      : tenant_(std::move(o.tenant_)), descriptors_(std::exchange(o.descriptors_, 0)) {}
  Charge& operator=(Charge&& o) noexcept {
    if (this != &o) {
      set(0);
      tenant_ = std::move(o.tenant_);
      descriptors_ = std::exchange(o.descriptors_, 0);
    }
    return *this;
  }
  Charge(const Charge&) = delete;
  Charge& operator=(const Charge&) = delete;
  ~Charge() { set(0); }
  void set(std::size_t descriptors);
  [[nodiscard]] std::size_t descriptors() const { return descriptors_; }
  [[nodiscard]] const TenantPtr& tenant() const { return tenant_; }

 private:
  TenantPtr tenant_;
  std::size_t descriptors_ = 0;
};

class Shares {
 public:
  static constexpr std::size_t kFew = 32;
  static constexpr unsigned kDisplacements_s = 512;
  static constexpr unsigned kDisplacementsAtOnce = 256;

  //   descriptors  that the process may have (RLIMIT_NOFILE)
  explicit Shares(std::size_t descriptors);
  Shares(const Shares&) = delete;
  Shares& operator=(const Shares&) = delete;

  // A container came: the one that had the address before has gone.
  TenantPtr open(Ipv4 address);
  // It has gone: everybody that holds something for it gives it back.
  void close(Ipv4 address);
  // None: no container has this address, and nothing is done for it.
  [[nodiscard]] TenantPtr find(Ipv4 address) const;
  void on_close(std::function<void(const TenantPtr&)> function) {
    on_close_.push_back(std::move(function));
  }
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  [[nodiscard]] std::size_t free() const { return held_ < capacity_ ? capacity_ - held_ : 0; }
  // The same for those that hold more than a few.
  [[nodiscard]] std::size_t free_to_many() const {
    return free() > capacity_ / 4 ? free() - capacity_ / 4 : 0;
  }

 private:
  friend class Charge;
  std::size_t capacity_;
  std::size_t held_ = 0;
  std::map<Ipv4, TenantPtr> tenants_;
  std::vector<std::function<void(const TenantPtr&)>> on_close_;
};

}  // namespace coracle::netstack
