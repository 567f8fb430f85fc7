// The network bridge, with one container in it.
#pragma once

#include <string>
#include <vector>

#include "engine/face/networks.hpp"

namespace coracle::test {

class FakeNetworks final : public face::Networks {
 public:
  [[nodiscard]] Result<std::vector<NetworkView>> list(const Filters&) const override {
    TRY(const auto bridge, find("bridge"));
    return std::vector<NetworkView>{bridge};
  }
  [[nodiscard]] Result<NetworkView> find(const std::string& ref) const override {
    if (ref != "bridge") return fail(Errc::not_found, "network {} not found", ref);
    NetworkView n;
    n.id = std::string(64, 'b');
    n.name = "bridge";
    n.driver = "bridge";
    n.subnet = "172.17.0.0/16";
    n.gateway = "172.17.0.1";
    n.members["abc"] = {"web", "e", "02:42:ac:11:00:02", "172.17.0.2/16"};
    return n;
  }
};

}  // namespace coracle::test
