// The addresses of one network: the lowest free one is given, as Docker does.
#pragma once

#include <set>

#include "engine/base/result.hpp"
#include "netstack/base/address.hpp"

namespace coracle::netstack {

class AddressPool {
 public:
  // `gateway` is never given, nor are the network's own and its broadcast address.
  AddressPool(Subnet subnet, Ipv4 gateway) : subnet_(subnet), gateway_(gateway) {}

  // errors: unavailable when all are in use
  Result<Ipv4> take();
  // errors: invalid_argument outside the subnet or reserved; conflict when in use
  Result<> take(Ipv4 wanted);
  void release(Ipv4 address) { used_.erase(address); }
  [[nodiscard]] const Subnet& subnet() const { return subnet_; }

 private:
  Subnet subnet_;
  Ipv4 gateway_;
  std::set<Ipv4> used_;
};

}  // namespace coracle::netstack
