#include "netstack/base/shares.hpp"

#include <algorithm>

namespace coracle::netstack {
namespace {

// What is made ahead (sockets, namespaces, pipes) and some listeners: on a host that allows few.
constexpr std::size_t kLeastReserve = 448;

}  // namespace

bool Tenant::may_open(std::size_t descriptors) const {
  const std::size_t wanted = held_ + descriptors;
  return wanted <= all_.free_to_many() || (wanted <= Shares::kFew && descriptors <= all_.free());
}

bool Tenant::may_grow(std::size_t descriptors) const {
  return may_open(descriptors) || held_ + descriptors <= 2 * all_.free_to_many();
}

bool Tenant::may_displace(unsigned cost, Loop::Clock::time_point now) {
  const std::chrono::duration<double> passed = now - counted_;
  counted_ = now;
  displacements_ = std::min<double>(displacements_ + passed.count() * Shares::kDisplacements_s,
                                    Shares::kDisplacementsAtOnce);
  if (displacements_ < cost) return false;
  displacements_ -= cost;
  return true;
}

Charge::Charge(TenantPtr tenant, std::size_t descriptors) : tenant_(std::move(tenant)) {
  set(descriptors);
}

void Charge::set(std::size_t descriptors) {
  if (!tenant_) return;
  tenant_->held_ += descriptors - descriptors_;
  tenant_->all_.held_ += descriptors - descriptors_;
  descriptors_ = descriptors;
}

Shares::Shares(std::size_t descriptors)
    : capacity_(descriptors - std::min(std::max(descriptors / 4, kLeastReserve), descriptors / 2)) {
}

TenantPtr Shares::open(Ipv4 address) {
  close(address);
  auto tenant = std::make_shared<Tenant>(*this, address);
  tenants_.emplace(address, tenant);
  return tenant;
}

void Shares::close(Ipv4 address) {
  const auto found = tenants_.find(address);
  if (found == tenants_.end()) return;
  const auto tenant = std::move(found->second);
  tenants_.erase(found);
  for (const auto& f : on_close_) f(tenant);
}

TenantPtr Shares::find(Ipv4 address) const {
  const auto found = tenants_.find(address);
  return found == tenants_.end() ? nullptr : found->second;
}

}  // namespace coracle::netstack
