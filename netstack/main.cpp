// coracle-netstack: one a user, started by the keeper in its user namespace and in the host's
// network namespace.
//   coracle-netstack --exec-root DIR --bridge-netns-fd N --vault-fd N [--lifeline-fd N]
//                    [--log-level L]
//
// Threads: `main` runs the loop: relays, DNS, libslirp, requests. `bridge` lives in the bridge
// namespace: sets it up, makes sockets there, configures containers' namespaces. `maker` makes
// namespaces ahead.
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include <malloc.h>

#include "engine/base/ipc/channel.hpp"
#include "engine/base/log.hpp"
#include "engine/base/path.hpp"
#include "engine/base/process/process.hpp"
#include "netstack/base/log_limit.hpp"
#include "netstack/bridge/bridge.hpp"
#include "netstack/dns/dns.hpp"
#include "netstack/endpoints.hpp"
#include "netstack/relay/egress.hpp"
#include "netstack/sandbox.hpp"
#include "netstack/server.hpp"
#include "netstack/slirp/slirp.hpp"

namespace coracle::netstack {
namespace {

constexpr const char* kSubnetItem = "subnet";  // in the vault: which one the bridge has
constexpr std::size_t kFewDescriptors = 1024;
constexpr std::size_t kLongestLog = 1 << 20;  // as the keeper's
constexpr std::chrono::minutes kLogInterval{1};

struct Options {
  std::string exec_root;
  UniqueFd bridge_netns;
  UniqueFd vault;
  UniqueFd lifeline;  // read end of the keeper's (docs/architecture.md)
  std::string log_level = "info";
};

Result<UniqueFd> parse_fd(const std::string& option, const std::string& text) {
  int fd = -1;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), fd);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size() || fd < 3)
    return fail(Errc::invalid_argument, "{} {}: expected the number of a descriptor", option, text);
  UniqueFd owned(fd);
  CHECK(set_inheritable(owned, false));
  return owned;
}

Result<Options> parse_options(const std::vector<std::string>& args) {
  Options o;
  for (std::size_t i = 0; i + 1 < args.size(); i += 2) {
    const auto& name = args[i];
    const auto& value = args[i + 1];
    if (name == "--exec-root") {
      o.exec_root = value;
    } else if (name == "--bridge-netns-fd") {
      TRY(o.bridge_netns, parse_fd(name, value));
    } else if (name == "--vault-fd") {
      TRY(o.vault, parse_fd(name, value));
    } else if (name == "--lifeline-fd") {
      TRY(o.lifeline, parse_fd(name, value));
    } else if (name == "--log-level") {
      o.log_level = value;
    } else {
      return fail(Errc::invalid_argument, "unknown option {}", name);
    }
  }
  if (args.size() % 2 != 0 || o.exec_root.empty() || !o.bridge_netns || !o.vault) {
    return fail(Errc::invalid_argument,
                "usage: coracle-netstack --exec-root DIR --bridge-netns-fd N --vault-fd N "
                "[--lifeline-fd N] [--log-level L] (the keeper starts it)");
  }
  return o;
}

// Each connection takes two descriptors, four while data is on its way. The number that there may
// be.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kFewDescriptors;
  const auto before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

// The log lies in memory, and the keeper looks after it only when it starts a netstack.
class SmallLog {
 public:
  explicit SmallLog(Loop& loop) : loop_(loop) { look(); }

 private:
  void look() {
    if (empty_when_above(STDERR_FILENO, kLongestLog)) log::info("log emptied");
    again_ = loop_.after(kLogInterval, [this] { look(); });
  }
  Loop& loop_;
  Loop::Timer again_;
};

Result<> enter(Worker& worker, int netns) {
  return worker.call([netns]() -> Result<> {
    if (::setns(netns, CLONE_NEWNET) != 0) return sys_error("join the bridge's network namespace");
    return {};
  });
}

// The subnet that the bridge has, or the first that is free.
Result<Subnet> subnet_for(const std::vector<VaultItem>& items, VaultClient& vault, Worker& bridge) {
  for (const auto& item : items)
    if (item.name == kSubnetItem) return parse_subnet(item.data);
  // What a vault was lost with (a killed keeper's) has left its bridge, and containers on it.
  auto subnet = bridge.call([] { return bridge_subnet(); });
  if (!subnet) {
    TRY(auto netlink, Netlink::open());
    TRY(const auto routes, list_routes(netlink));
    subnet = choose_subnet(routes);
  }
  CHECK(subnet);
  CHECK(vault.put(kSubnetItem, to_string(*subnet), {}));
  return subnet;
}

// Landlock where there is one: seccomp is what the sandbox stands on.
Result<> without_files() {
  const auto done = forbid_files();
  if (!done && done.error().sys != ENOSYS && done.error().sys != EOPNOTSUPP) return done;
  return {};
}

// What to do when the keeper ends without ending us: containers keep their network, until another
// keeper gives us its vault, or the lifeline says that nobody is left for whom we would go on.
class Orphan {
 public:
  static Result<std::unique_ptr<Orphan>> make(Loop& loop, VaultClient& vault, UniqueFd lifeline) {
    std::unique_ptr<Orphan> orphan(new Orphan(loop, vault, std::move(lifeline)));
    CHECK(orphan->watch_vault());
    return orphan;
  }
  Result<> adopted(UniqueFd vault) {
    watch_.reset();
    nobody_left_.reset();
    vault_.adopt(std::move(vault));
    return watch_vault();
  }

 private:
  Orphan(Loop& loop, VaultClient& vault, UniqueFd lifeline)
      : loop_(loop), vault_(vault), lifeline_(std::move(lifeline)) {}
  // The keeper never writes unasked: what comes here is its end.
  Result<> watch_vault() {
    TRY(watch_, loop_.watch(vault_.socket(), EPOLLRDHUP, [this](std::uint32_t) { begin(); }));
    return {};
  }
  void begin() {
    log::warn("the keeper has ended: waiting for another one");
    watch_.reset();
    vault_.abandon();
    if (!lifeline_) return loop_.stop();  // an older keeper gave us none
    auto watch = loop_.watch(lifeline_, 0, [this](std::uint32_t) { loop_.stop(); });
    if (!watch) return loop_.stop();
    nobody_left_ = *std::move(watch);
  }
  Loop& loop_;
  VaultClient& vault_;
  UniqueFd lifeline_;
  Loop::Watch watch_, nobody_left_;
};

Result<> run(Options options, std::size_t descriptors) {
  VaultClient vault(std::move(options.vault));
  TRY(auto items, vault.list());
  TRY(auto loop, Loop::make());
  Worker bridge("bridge");
  Worker maker("maker");
  CHECK(enter(bridge, options.bridge_netns.get()));
  CHECK(enter(maker, options.bridge_netns.get()));
  TRY(const auto subnet, subnet_for(items, vault, bridge));
  const Ipv4 gateway = gateway_of(subnet);
  const Ipv4 host = host_address();
  TRY(auto parts, bridge.call([subnet, host] { return set_up_bridge(subnet, host); }));
  TRY(auto netlink, bridge.call([] { return Netlink::open(); }));

  Shares shares(descriptors);
  const SlirpFlows::Settings slirp_settings{kSlirpNet, kSlirpHost, kSlirpDns,
                                            kMtu,      -1,         parts.uplink_mac};
  TRY(auto slirp, SlirpStack::make(*loop, shares, std::move(parts.uplinks), slirp_settings));
  Relays relays(*loop, shares);
  std::unique_ptr<Egress> egress;
  if (parts.relay_listener) {
    const Egress::Settings settings{slirp->uplink(), parts.uplink_mac, gateway, kSlirpHost};
    TRY(egress, Egress::make(*loop, shares, relays, settings, std::move(parts.relay_listener)));
    slirp->set_filter([e = egress.get()](auto frame) { return e->take_frame(frame); });
  }
  DnsSettings dns_settings;
  dns_settings.gateway = gateway;
  TRY(auto dns, DnsServer::make(*loop, shares, dns_settings, std::move(parts.dns_udp),
                                std::move(parts.dns_tcp)));

  SocketPool tcp_sockets(*loop, bridge, SOCK_STREAM, parts.transparent, 128);
  SocketPool udp_sockets(*loop, bridge, SOCK_DGRAM, parts.transparent, 16);
  ForwardContext forward{*loop,       shares, relays,  tcp_sockets,
                         udp_sockets, subnet, gateway, parts.transparent};
  NamespacePool namespaces(*loop, maker, {options.bridge_netns.get(), parts.bridge_index, kMtu},
                           std::move(netlink));
  Endpoints endpoints(forward, namespaces, bridge, std::move(parts.guard), vault);
  endpoints.restore(std::move(items));
  const BridgeInfo info{to_string(subnet), to_string(gateway), kMtu};
  TRY(auto server, Server::make(*loop, join_path(options.exec_root, kSocketName), endpoints, info));

  TRY(auto orphan, Orphan::make(*loop, vault, std::move(options.lifeline)));
  server->on_adoption([&, o = orphan.get()](UniqueFd given) {
    auto done = o->adopted(std::move(given));
    if (done) done = vault.put(kSubnetItem, to_string(subnet), {});
    if (done) done = endpoints.remember_all();
    if (!done) log::error("not adopted: {}", done.error().message);
    log::info("adopted by another keeper endpoints={}", endpoints.list().size());
  });
  for (auto* worker : {&bridge, &maker}) CHECK(worker->call([] { return without_files(); }));
  CHECK(without_files());
  CHECK(forbid_system_calls());
  ::malloc_trim(0);  // what libnftables and the filter took
  namespaces.refill();
  const SmallLog small_log(*loop);
  log::info("netstack ready subnet={} egress={} client_addresses={} endpoints={}",
            to_string(subnet), egress ? "relay" : "libslirp", parts.transparent,
            endpoints.list().size());
  return loop->run();
}

int start(const std::vector<std::string>& args) {
  ignore_sigpipe();
  ::mallopt(M_ARENA_MAX, 1);
  auto options = parse_options(args);
  if (!options) {
    std::fprintf(stderr, "coracle-netstack: %s\n", options.error().message.c_str());
    return 2;
  }
  log::set_up("coracle-netstack", log::level_from_name(options->log_level));
  const std::size_t descriptors = raise_descriptor_limit();
  auto done = drop_privileges();
  if (done) done = run(*std::move(options), descriptors);
  if (done) return 0;
  log::error("netstack ended: {}", done.error().message);
  return 1;
}

}  // namespace
}  // namespace coracle::netstack

int main(int argc, char** argv) {
  try {
    return coracle::netstack::start({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    std::fprintf(stderr, "coracle-netstack: %s\n", e.what());
    return 1;
  }
}
