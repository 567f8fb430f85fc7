#include "engine/base/async/own_thread.hpp"

#include <algorithm>

namespace coracle {

ThreadPlaces::ThreadPlaces(asio::execution_context& io) : asio::execution_context::service(io) {
  lanes_[Lane::peers].bound = kPeers;
  lanes_[Lane::trees].bound = kTrees;
}

void ThreadPlaces::shutdown() {
  down_ = true;
  for (auto& [name, lane] : lanes_) lane.waiting.clear();
}

bool ThreadPlaces::has_room(const LaneState& lane, const std::string& owner) {
  const auto has = lane.by_owner.find(owner);
  return lane.taken < lane.bound.all &&
         (has == lane.by_owner.end() || has->second < lane.bound.each);
}

Task<ThreadPlaces::Place> ThreadPlaces::take(asio::io_context& io, ThreadOwner owner) {
  auto& self = of(io);
  auto& lane = self.lanes_.at(owner.lane);
  // Whoever waits has no room, so nobody is passed over.
  if (has_room(lane, owner.name)) {
    ++lane.taken;
    ++lane.by_owner[owner.name];
    co_return Place(&self, std::move(owner));
  }
  auto mine = std::make_shared<Waiting>(io, owner);
  lane.waiting.push_back(mine);
  const bool called = co_await mine->has_place.wait();
  if (!called) {
    std::erase(lane.waiting, mine);
    co_return fail(Errc::unavailable, "the request was given up while it waited for its turn");
  }
  co_return Place(&self, std::move(owner));
}

void ThreadPlaces::leave(const ThreadOwner& owner) {
  if (down_) return;
  auto& lane = lanes_.at(owner.lane);
  --lane.taken;
  if (const auto has = lane.by_owner.find(owner.name); --has->second == 0) lane.by_owner.erase(has);
  const auto next = std::ranges::find_if(
      lane.waiting, [&](const auto& w) { return has_room(lane, w->owner.name); });
  if (next == lane.waiting.end()) return;
  const auto called = *next;
  lane.waiting.erase(next);
  ++lane.taken;
  ++lane.by_owner[called->owner.name];
  called->has_place.set();
}

}  // namespace coracle
