#include "netstack/address_pool.hpp"

namespace coracle::netstack {

Result<Ipv4> AddressPool::take() {
  // Walks the addresses and the sorted set of used ones side by side to the first gap.
  auto used = used_.begin();
  for (Ipv4 a{subnet_.base.value + 1}; a < subnet_.broadcast(); ++a.value) {
    if (used != used_.end() && *used == a) {
      ++used;
      continue;
    }
    if (a == gateway_) continue;
    used_.insert(a);
    return a;
  }
  return fail(Errc::unavailable,
              "no available IPv4 addresses on this network's address pools: {} is full",
              to_string(subnet_));
}

Result<> AddressPool::take(Ipv4 wanted) {
  if (!subnet_.contains(wanted) || wanted == subnet_.base || wanted == subnet_.broadcast() ||
      wanted == gateway_) {
    return fail(Errc::invalid_argument, "address {} cannot be given out of {}", to_string(wanted),
                to_string(subnet_));
  }
  if (!used_.insert(wanted).second)
    return fail(Errc::conflict, "Address already in use: {}", to_string(wanted));
  return {};
}

}  // namespace coracle::netstack
