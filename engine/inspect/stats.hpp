// docker stats: samples (sample.hpp) of one container, one a second, taken by a worker.
#pragma once

#include <memory>

#include "engine/container/container.hpp"
#include "engine/face/stats.hpp"
#include "engine/parts.hpp"

namespace coracle {

std::unique_ptr<StatsStream> open_stats(Parts& parts, ContainerPtr container, StatsOptions options);

}  // namespace coracle
