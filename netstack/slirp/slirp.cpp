#include "netstack/slirp/slirp.hpp"

#include <unistd.h>

#include "engine/base/log.hpp"

namespace coracle::netstack {
namespace {

constexpr int kFramesATurn = 64;
constexpr std::size_t kLongestFrame = 65536 + 64;
// Sockets of one libslirp; a container has two.
constexpr std::size_t kMostSlirpFlows = 512;
// Of Shares::kDisplacements_s: four times a second.
constexpr unsigned kRenewalCost = 128;

}  // namespace

Result<std::unique_ptr<SlirpStack>> SlirpStack::make(Loop& loop, Shares& shares,
                                                     std::vector<UniqueFd> uplinks,
                                                     SlirpFlows::Settings settings) {
  settings.uplink = uplinks.front().get();
  std::unique_ptr<SlirpStack> stack(new SlirpStack(loop, shares, std::move(uplinks), settings));
  auto* s = stack.get();
  s->frame_.resize(kLongestFrame);
  for (const auto& uplink : s->uplinks_) {
    TRY(auto watch,
        loop.watch(uplink, EPOLLIN, [s, u = &uplink](std::uint32_t) { s->read_uplink(*u); }));
    s->watches_.push_back(std::move(watch));
  }
  shares.on_close([s](const TenantPtr& tenant) { s->guests_.erase(tenant.get()); });
  return stack;
}

// So many frames of each that has some: a flood waits for its next turn.
void SlirpStack::read_uplink(const UniqueFd& uplink) {
  for (int i = 0; i < kFramesATurn; ++i) {
    const ssize_t n = ::read(uplink.get(), frame_.data(), frame_.size());
    if (n <= 0) break;
    const auto frame = std::span<const std::uint8_t>(frame_).first(static_cast<std::size_t>(n));
    if (!filter_ || !filter_(frame)) take(frame);
  }
  for (auto* guest : fed_) {
    guest->fed = false;
    guest->young->turn();
    if (guest->old) guest->old->turn();
  }
  fed_.clear();
}

void SlirpStack::take(std::span<const std::uint8_t> frame) {
  const auto found = parse_flow(frame);
  const auto tenant = found ? shares_.find(found->source) : nullptr;
  if (!tenant) return;
  Guest& guest = guests_[tenant.get()];
  auto* flows = flows_for(guest, tenant, found->flow);
  if (flows == nullptr) return;
  flows->input(frame, found->flow);
  if (guest.fed) return;
  guest.fed = true;
  fed_.push_back(&guest);
}

// None: the frame is dropped.
SlirpFlows* SlirpStack::flows_for(Guest& guest, const TenantPtr& tenant, const FlowKey& flow) {
  if (guest.old && guest.old->has(flow)) return guest.old.get();
  if (!guest.young) return renew(guest, tenant) ? guest.young.get() : nullptr;
  if (guest.young->has(flow)) return guest.young.get();
  if (guest.young->size() < kMostSlirpFlows && tenant->may_open(1)) return guest.young.get();
  if (const auto left_out = full_.now()) {
    log::warn("{} has its share of outgoing flows: {} descriptors{}", to_string(tenant->address()),
              tenant->held(), *left_out);
  }
  // An empty one has nothing to give: the container holds its share elsewhere.
  if (guest.young->size() == 0 || !tenant->may_displace(kRenewalCost)) return nullptr;
  return renew(guest, tenant) ? guest.young.get() : nullptr;
}

bool SlirpStack::renew(Guest& guest, const TenantPtr& tenant) {
  auto fresh = SlirpFlows::make(loop_, settings_, tenant);
  if (!fresh) {
    if (const auto left_out = not_made_.now())
      log::warn("no outgoing flows for {}: {}{}", to_string(tenant->address()),
                fresh.error().message, *left_out);
    return false;
  }
  guest.old = std::move(guest.young);
  guest.young = *std::move(fresh);
  return true;
}

}  // namespace coracle::netstack
