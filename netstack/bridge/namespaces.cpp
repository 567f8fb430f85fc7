#include "netstack/bridge/namespaces.hpp"

#include <sched.h>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr std::size_t kVethsAhead = 6;
constexpr std::size_t kBareAhead = 2;
// A start takes CPU for its own steps: the next namespace is made after them.
constexpr std::chrono::milliseconds kRefillDelay{15};

// On the maker's thread, which goes into the new namespace and back to the bridge's: it must not
// hold a container's namespace alive.
Result<ReadyNamespace> make_namespace(int bridge_netns) {
  if (::unshare(CLONE_NEWNET) != 0) return sys_error("make a network namespace");
  auto netlink = Netlink::open();
  if (::setns(bridge_netns, CLONE_NEWNET) != 0)
    return sys_error("return to the bridge's network namespace");
  if (!netlink) return std::unexpected(netlink.error());
  ReadyNamespace made;
  made.netlink = std::make_unique<Netlink>(*std::move(netlink));
  TRY(made.netns, made.netlink->name_space());
  CHECK(made.netlink->run(set_up(kLoopback)));
  return made;
}

Result<ReadyNamespace> make_with_veth(const NamespacePool::Bridge& bridge, Netlink& netlink) {
  TRY(auto made, make_namespace(bridge.bridge_netns));
  if (auto veth = netlink.run(add_veth(bridge.bridge_index, bridge.mtu, "eth0", made.netns)); !veth)
    return std::unexpected(veth.error().within("make a veth pair"));
  TRY(const auto link, made.netlink->link_of("eth0"));
  made.eth0 = link.index;
  made.port = link.peer;
  [[maybe_unused]] const auto without = made.netlink->run(without_link_local(made.eth0));
  CHECK(made.netlink->run(set_up(made.eth0)));
  return made;
}

}  // namespace

Result<Netlink> netlink_in(const UniqueFd& netns) {
  TRY(const auto here, Netlink::open());
  TRY(const auto home, here.name_space());
  if (::setns(netns.get(), CLONE_NEWNET) != 0)
    return sys_error("join the container's network namespace");
  auto inside = Netlink::open();
  if (::setns(home.get(), CLONE_NEWNET) != 0)
    return sys_error("return to the bridge's network namespace");
  return inside;
}

NamespacePool::NamespacePool(Loop& loop, Worker& maker, Bridge bridge, Netlink netlink)
    : loop_(loop),
      maker_(maker),
      bridge_(bridge),
      netlink_(std::make_shared<Netlink>(std::move(netlink))) {
  veths_.wanted = kVethsAhead;
  bare_.wanted = kBareAhead;
}

void NamespacePool::take(Kind kind, OnReady ready) {
  Shelf& s = shelf(kind);
  if (s.ready.empty()) {
    s.waiting.push_back(std::move(ready));
    if (s.being_made < s.waiting.size()) make_one(kind);
  } else {
    ReadyNamespace first = std::move(s.ready.back());
    s.ready.pop_back();
    ready(std::move(first));
  }
  refill_soon_ = loop_.after(kRefillDelay, [this] { refill(); });
}

void NamespacePool::refill() {
  for (const Kind kind : {Kind::with_veth, Kind::lo_only}) {
    Shelf& s = shelf(kind);
    while (s.ready.size() + s.being_made < s.wanted + s.waiting.size()) make_one(kind);
  }
}

void NamespacePool::make_one(Kind kind) {
  ++shelf(kind).being_made;
  maker_.post([this, kind, bridge = bridge_, netlink = netlink_] {
    auto result = std::make_shared<Result<ReadyNamespace>>(
        kind == Kind::with_veth ? make_with_veth(bridge, *netlink)
                                : make_namespace(bridge.bridge_netns));
    loop_.post([this, kind, result] { made(kind, std::move(*result)); });
  });
}

void NamespacePool::made(Kind kind, Result<ReadyNamespace> result) {
  Shelf& s = shelf(kind);
  --s.being_made;
  if (!s.waiting.empty()) {
    auto first = std::move(s.waiting.front());
    s.waiting.erase(s.waiting.begin());
    first(std::move(result));
    return;
  }
  if (!result) {
    // The next attach tries again and reports it.
    log::warn("network namespace not made ahead: {}", result.error().message);
    return;
  }
  s.ready.push_back(*std::move(result));
}

}  // namespace coracle::netstack
