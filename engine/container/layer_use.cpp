#include "engine/container/layer_use.hpp"

#include <poll.h>

#include <algorithm>
#include <map>

namespace coracle {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAskAgain{20};

bool waits_for_client(const LayerUse& use) {
  if (!use.body) return false;
  pollfd p{use.body.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) == 0;
}

// Once is not enough: what is asked may be at a step that does not hear it.
void ask_to_end(LayerUse& use, const std::string& reason) {
  if (use.ended_because.empty()) use.ended_because = reason;
  use.scope.cancel();
}

}  // namespace

LayerUsePtr LayerUses::begin() {
  auto use = std::make_shared<LayerUse>(io_);
  uses_.push_back(use);
  return use;
}

void LayerUses::end(const LayerUsePtr& use) {
  use->body.reset();
  uses_.remove_if([&](const auto& weak) { return weak.expired() || weak.lock() == use; });
  changed_.notify_all();
}

std::vector<LayerUsePtr> LayerUses::all() {
  std::vector<LayerUsePtr> out;
  for (const auto& weak : uses_) {
    if (auto use = weak.lock()) out.push_back(std::move(use));
  }
  return out;
}

Coro<bool> LayerUses::end_all(std::string reason) {
  const auto deadline = Clock::now() + kEndLimit;
  for (;;) {
    auto uses = all();
    if (uses.empty()) co_return true;
    if (Clock::now() >= deadline) co_return false;
    for (const auto& use : uses) ask_to_end(*use, reason);
    uses.clear();  // held over the wait they would stay on the list
    co_await changed_.wait_for(kAskAgain);
  }
}

Task<> LayerUses::make_way(std::string reason) {
  const auto begin = Clock::now();
  std::map<const LayerUse*, Clock::time_point> waiting_since;
  for (;;) {
    const auto at = Clock::now();
    auto uses = all();
    bool any = false;
    for (const auto& use : uses) {
      if (!use->pins) continue;
      any = true;
      if (!waits_for_client(*use))
        waiting_since.erase(use.get());
      else
        waiting_since.emplace(use.get(), at);
      const auto since = waiting_since.find(use.get());
      const bool stalled = since != waiting_since.end() && at - since->second >= kStallLimit;
      if (stalled || !use->ended_because.empty() || at - begin >= kStartLimit)
        ask_to_end(*use, reason);
    }
    if (!any) co_return Result<>{};
    if (at - begin >= kStartLimit + kEndLimit)
      co_return fail(Errc::conflict,
                     "a copy of its files is still under way and does not end: a file system among "
                     "its mounts does not answer");
    uses.clear();
    co_await changed_.wait_for(kAskAgain);
  }
}

}  // namespace coracle
