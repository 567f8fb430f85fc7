#include "engine/container/container.hpp"

namespace coracle {

void Container::answer_waits(WaitCondition condition, const WaitResult& result) {
  std::erase_if(waits, [&](const std::weak_ptr<Wait>& weak) {
    auto wait = weak.lock();
    if (!wait) return true;
    if (wait->condition != condition) return false;
    wait->result.set(result);
    return true;
  });
}

}  // namespace coracle
