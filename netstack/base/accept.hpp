// How listening sockets are served: so many connections a turn, and a pause when there is no
// descriptor for another.
#pragma once

#include <chrono>

namespace coracle::netstack {

constexpr int kAcceptBatch = 64;
constexpr std::chrono::milliseconds kNoDescriptorPause{100};

}  // namespace coracle::netstack
