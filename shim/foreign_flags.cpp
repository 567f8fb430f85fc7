#include "shim/foreign_flags.hpp"

#include <algorithm>
#include <iterator>

namespace coracle::shim {
namespace {

constexpr const char* kNoRules =
    "has no meaning here: containers have a network of the user's own, without rules of the host";
constexpr const char* kRestored = "has no meaning here: containers outlive the daemon always";
constexpr const char* kNoContainerd = "has no meaning here: there is no containerd";
constexpr const char* kNoSwarm = "has no meaning here: there is no swarm";
constexpr const char* kOneStore = "has no meaning here: coracle has one store of images";
constexpr const char* kNoProxy = "has no meaning here: ports are published without a proxy program";
constexpr const char* kOneBridge =
    "is not supported yet: the network bridge has an address range that coracle chooses";
constexpr const char* kNoFirewall =
    "is not supported yet: containers of one network are not kept apart";
constexpr const char* kOneRuntime = "has no meaning here: coracle-monitor runs every container";
constexpr const char* kNoTcp =
    "is refused: who reaches a TCP port of the API has the whole account; ssh://USER@HOST as "
    "DOCKER_HOST needs no port";
constexpr const char* kAsNeeded =
    "has no meaning here: as many are moved at once as the machine takes";

constexpr ForeignDirective kForeign[] = {
    {"add-runtime", 0, "runtimes", false, false, kOneRuntime},
    {"allow-direct-routing", 0, "allow-direct-routing", true, false, kNoRules},
    {"allow-nondistributable-artifacts", 0, "allow-nondistributable-artifacts", false, true,
     "is not supported: foreign layers are not pushed"},
    {"authorization-plugin", 0, "authorization-plugins", false, true,
     "is refused: there are no plugins, and what one forbids would be allowed"},
    {"bip", 0, "bip", false, true, kOneBridge},
    {"bip6", 0, "bip6", false, true, kOneBridge},
    {"cgroup-parent", 0, "cgroup-parent", false, true,
     "is not supported yet: containers have no cgroups of their own"},
    {"containerd", 0, "containerd", false, false, kNoContainerd},
    {"containerd-namespace", 0, "containerd-namespace", false, false, kNoContainerd},
    {"containerd-plugins-namespace", 0, "containerd-plugin-namespace", false, false, kNoContainerd},
    {"cpu-rt-period", 0, "cpu-rt-period", false, true, "needs root"},
    {"cpu-rt-runtime", 0, "cpu-rt-runtime", false, true, "needs root"},
    {"default-address-pool", 0, "default-address-pools", false, true, kOneBridge},
    {"default-gateway", 0, "default-gateway", false, true, kOneBridge},
    {"default-gateway-v6", 0, "default-gateway-v6", false, true, kOneBridge},
    {"default-network-opt", 0, "default-network-opts", false, true,
     "is not supported yet: there are no networks of one's own"},
    {"default-runtime", 0, "default-runtime", false, false, kOneRuntime},
    {"exec-opt", 0, "exec-opts", false, false, kOneRuntime},
    {"experimental", 0, "experimental", true, false,
     "has no meaning here: nothing is experimental"},
    {"feature", 0, "features", false, false, kOneStore},
    {"firewall-backend", 0, "firewall-backend", false, false, kNoRules},
    {"fixed-cidr", 0, "fixed-cidr", false, true, kOneBridge},
    {"fixed-cidr-v6", 0, "fixed-cidr-v6", false, true, kOneBridge},
    {"group", 'G', "group", false, false, "has no meaning here: the socket is the user's own"},
    {"init-path", 0, "init-path", false, false, "has no meaning here: coracle-init is used"},
    {"ip", 0, "ip", false, true, "is not supported yet: give the address with each port"},
    {"ip-forward", 0, "ip-forward", true, false, kNoRules},
    {"ip-forward-no-drop", 0, "ip-forward-no-drop", true, false, kNoRules},
    {"ip-masq", 0, "ip-masq", true, false, kNoRules},
    {"ip6tables", 0, "ip6tables", true, false, kNoRules},
    {"iptables", 0, "iptables", true, false, kNoRules},
    {"ipv6", 0, "ipv6", true, false, "has no meaning yet: the network bridge has IPv4 alone"},
    {"live-restore", 0, "live-restore", true, false, kRestored},
    {"log-format", 0, "log-format", false, false, "has no meaning here: the log is text"},
    {"max-concurrent-downloads", 0, "max-concurrent-downloads", false, false, kAsNeeded},
    {"max-concurrent-uploads", 0, "max-concurrent-uploads", false, false, kAsNeeded},
    {"max-download-attempts", 0, "max-download-attempts", false, false, kAsNeeded},
    {"metrics-addr", 0, "metrics-addr", false, true,
     "is not supported: there is no metrics server"},
    {"mtu", 0, "mtu", false, false, "has no meaning here: the network's own is used"},
    {"network-control-plane-mtu", 0, "network-control-plane-mtu", false, false, kNoSwarm},
    {"node-generic-resource", 0, "node-generic-resources", false, false, kNoSwarm},
    {"oom-score-adjust", 0, "oom-score-adjust", false, true, "needs root"},
    {"raw-logs", 0, "raw-logs", true, false, "has no meaning here: the log has no colours"},
    {"seccomp-profile", 0, "seccomp-profile", false, true,
     "is not supported: give the profile with each container (--security-opt seccomp=FILE)"},
    {"selinux-enabled", 0, "selinux-enabled", true, true, "needs root"},
    {"shutdown-timeout", 0, "shutdown-timeout", false, false, kRestored},
    {"storage-opt", 0, "storage-opts", false, true,
     "is not supported: the drivers have no options"},
    {"swarm-default-advertise-addr", 0, "swarm-default-advertise-addr", false, false, kNoSwarm},
    {"tls", 0, "tls", true, true, kNoTcp},
    {"tlscacert", 0, "tlscacert", false, true, kNoTcp},
    {"tlscert", 0, "tlscert", false, true, kNoTcp},
    {"tlskey", 0, "tlskey", false, true, kNoTcp},
    {"tlsverify", 0, "tlsverify", true, true, kNoTcp},
    {"userland-proxy", 0, "userland-proxy", true, false, kNoProxy},
    {"userland-proxy-path", 0, "userland-proxy-path", false, false, kNoProxy},
    {"userns-remap", 0, "userns-remap", false, true,
     "is refused: every container is in the user's own user namespace already"}};

const ForeignDirective* find(auto&& is_it) {
  const auto* const found = std::ranges::find_if(kForeign, is_it);
  return found == std::end(kForeign) ? nullptr : found;
}

}  // namespace

const ForeignDirective* foreign_by_flag(std::string_view name) {
  return find([&](const ForeignDirective& d) { return name == d.flag; });
}
const ForeignDirective* foreign_by_letter(char letter) {
  return find([&](const ForeignDirective& d) { return d.letter != 0 && letter == d.letter; });
}
const ForeignDirective* foreign_by_key(std::string_view key) {
  return find([&](const ForeignDirective& d) { return d.key != nullptr && key == d.key; });
}

}  // namespace coracle::shim
