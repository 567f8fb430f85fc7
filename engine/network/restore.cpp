// Endpoints that a killed netstack had: given back to the next one.
#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/ident.hpp"
#include "engine/base/log.hpp"
#include "engine/container/namespaces.hpp"
#include "engine/network/networks.hpp"
#include "engine/rootless/keeper.hpp"
#include "engine/spec/modes.hpp"
#include "netstack/takeover.hpp"

namespace coracle {
namespace {

// A netstack that was killed has its ports until the kernel has taken it down.
constexpr int kTries = 20;
constexpr std::chrono::milliseconds kPause{100};
constexpr const char* kLost = "its network is lost";

bool is_lost(const Container& c) { return c.state.error.starts_with(kLost); }

bool same_ip(const std::string& a, const std::string& b) {
  const auto every = [](const std::string& ip) { return ip == "0.0.0.0" || ip == "::"; };
  const auto v6 = [](const std::string& ip) { return ip.find(':') != std::string::npos; };
  return v6(a) == v6(b) && (a == b || every(a) || every(b));
}

bool clash(const netstack::Endpoint& a, const netstack::Endpoint& b) {
  if (!a.address.empty() && a.address == b.address) return true;
  return std::ranges::any_of(a.ports, [&](const auto& p) {
    return std::ranges::any_of(b.ports, [&](const auto& q) {
      return p.proto == q.proto && p.host_port == q.host_port && same_ip(p.host_ip, q.host_ip);
    });
  });
}

}  // namespace

std::vector<ContainerPtr> Networks::unknown_ones(const std::vector<netstack::Endpoint>& all) const {
  std::set<std::string> known;
  for (const auto& e : all) known.insert(e.container_id);
  std::vector<ContainerPtr> out;
  for (const auto& [id, c] : context_.table.all()) {
    if (c->running() != nullptr && c->state.endpoint && !known.contains(id) &&
        !rootless::of_another_keeper(c->running()->identity.monitor))
      out.push_back(c);
  }
  return out;
}

Task<netstack::Endpoint> Networks::restore_one(ContainerPtr c) {
  for (int i = 1;; ++i) {
    CO_TRY(auto netns, open_netns_of(context_.table, c->id()));
    auto job = [socket = context_.config.exec_root + "/" + netstack::kSocketName,
                had = *c->state.endpoint, space = std::move(netns)]() mutable {
      return netstack::restore_endpoint(socket, std::move(had), space);
    };
    auto done = co_await context_.workers.run(std::move(job));
    if (done || done.error().code != Errc::conflict || i == kTries || context_.closing)
      co_return done;
    co_await sleep_for(context_.io, kPause);
  }
}

bool Networks::belongs_to_another(const std::string& id, const netstack::Endpoint& given) const {
  return std::ranges::any_of(context_.table.all(), [&](const auto& entry) {
    const auto& c = entry.second;
    return c->id() != id && c->running() != nullptr && c->state.endpoint && !is_lost(*c) &&
           clash(given, *c->state.endpoint) &&
           !rootless::of_another_keeper(c->running()->identity.monitor);
  });
}

Task<netstack::Attachment> Networks::attach_again(netstack::AttachRequest request) {
  log::info("endpoint is another's, attached again id={}", short_id(request.container_id));
  CO_CHECK(co_await netstack_.detach(request.container_id));
  co_await restore();
  co_await wait_until_ready();
  co_return co_await netstack_.attach(std::move(request));
}

Coro<void> Networks::restore() {
  const auto known = co_await netstack_.list();
  if (!known) {
    log::warn("network not looked through reason={}", known.error().message);
    co_return;
  }
  const auto unknown = unknown_ones(*known);
  for (const auto& c : unknown) {
    if (c->running() == nullptr || !c->state.endpoint) continue;  // it has ended meanwhile
    const auto restored = co_await restore_one(c);
    if (c->running() == nullptr) {
      (void)co_await netstack_.detach(c->id());
    } else if (restored) {
      if (is_lost(*c)) c->state.error.clear();
      log::info("endpoint restored id={} address={} ports={}", short_id(c->id()), restored->address,
                restored->ports.size());
    } else {
      c->state.error = fmt::format("{} ({}) until it is started again; docker restart {}", kLost,
                                   restored.error().message, c->name());
      log::error("endpoint not restored id={} reason=\"{}\"", c->id(), restored.error().message);
    }
  }
}

Coro<void> Networks::reconcile() {
  co_await restore();
  std::vector<std::string> attached;
  for (const auto& [id, c] : context_.table.all()) {
    if (c->running() != nullptr && network_mode(c->record.host).has_endpoint())
      attached.push_back(id);
  }
  if (auto kept = co_await netstack_.keep(std::move(attached)); !kept)
    log::warn("network not looked through reason={}", kept.error().message);
  if (auto bridge = co_await netstack_.bridge()) bridge_ = *std::move(bridge);
  become_ready();
}

}  // namespace coracle
